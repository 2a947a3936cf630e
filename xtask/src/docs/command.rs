//! Writes the documents, or checks them.

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::document::Document;
use crate::workspace;

/// The flags of `cargo xtask docs`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write nothing; fail if a document differs from the types
    #[arg(long)]
    check: bool,
}

/// Writes the documents that differ from the types.
///
/// # Errors
///
/// With `--check`, when a document differs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut outdated = Vec::new();
    for document in Document::ALL {
        let path = workspace::path(document.file());
        let text = document.text();
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if !options.check {
            fs::write(&path, text).with_context(|| format!("failed to write {}", document.file()))?;
            writeln!(io::stdout(), "{} written", document.file())?;
        }
        outdated.push(document.file());
    }
    if options.check && !outdated.is_empty() {
        bail!("{} differs from the types; run `cargo xtask docs` and review the difference", outdated.join(", "));
    }
    Ok(())
}
