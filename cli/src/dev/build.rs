//! Builds the functions.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use tokio::process::Command;

use super::run_folder::RunFolder;
use crate::{
    cargo::{Workspace, build_binaries, cargo},
    process::{Children, Log},
    terminal::Terminal,
};

/// Builds the binaries of the functions. Returns their paths by name.
pub(super) async fn build(
    workspace: &Workspace,
    run_folder: &RunFolder,
    children: &Children,
    names: &[String],
    release: bool,
    terminal: &Terminal,
) -> Result<BTreeMap<String, PathBuf>> {
    let step = terminal.step("Building the functions");
    step.announce();
    let mut command = Command::new(cargo());
    command.args(["build", "--manifest-path", "Cargo.toml"]);
    if release {
        command.arg("--release");
    }
    command.current_dir(&workspace.root);
    let log = Log::create(run_folder.log("build"))?;
    let executables = build_binaries(command, names, &log, children, &step, terminal).await?;
    step.done(format_args!("Built {} functions{}", names.len(), if release { " with optimisations" } else { "" }));
    Ok(executables)
}
