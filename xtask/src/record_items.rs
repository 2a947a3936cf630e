//! `cargo xtask record-items`: records the items that this version stores.
//!
//! The test that compares the items of all versions creates an item of every kind, so it also writes the file.

use std::{env, fs, process::Command, time::SystemTime};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The test that creates the items, and the variable with the path to write them to.
const TEST: &str = "items_of_today_have_what_every_release_reads";
const PATH_VARIABLE: &str = "RECORD_ITEMS";

/// Writes `tests/items/VERSION.json`, over an earlier recording of the same version.
pub(crate) fn run() -> Result<()> {
    let file = format!("tests/items/{}.json", env!("CARGO_PKG_VERSION"));
    let before = modified(&file);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--test", "suite", TEST])
        .env(PATH_VARIABLE, &file)
        .current_dir(workspace::path("."))
        .status()
        .context("failed to run cargo test")?;
    if !status.success() {
        bail!("the test {TEST} failed ({status}); compare the items that it names with those of earlier versions");
    }
    // A test of another name is no failure to cargo.
    if modified(&file) == before {
        bail!("{file} was not written; update the name of the test in {}", file!());
    }
    Ok(())
}

fn modified(file: &str) -> Option<SystemTime> {
    fs::metadata(workspace::path(file)).and_then(|metadata| metadata.modified()).ok()
}
