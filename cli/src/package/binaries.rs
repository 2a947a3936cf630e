//! The binaries of the functions.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::architecture::Architecture;
use crate::{
    cargo::{Workspace, build_binaries, rustc},
    process::{Children, Log},
    terminal::Terminal,
    tools::{CargoLambda, ToolFolder, Zig},
};

/// Builds the functions for Lambda. Returns the folder of the binaries.
pub(super) async fn build(
    workspace: &Workspace,
    names: &[String],
    architecture: Architecture,
    debug: bool,
    terminal: &Terminal,
) -> Result<PathBuf> {
    require_target(architecture).await?;
    let children = Children::new()?;
    let built = build_with(&children, workspace, names, architecture, debug, terminal).await;
    children.stop().await;
    built
}

async fn build_with(
    children: &Children,
    workspace: &Workspace,
    names: &[String],
    architecture: Architecture,
    debug: bool,
    terminal: &Terminal,
) -> Result<PathBuf> {
    let log = Log::create(workspace.target.join("package.log"))?;
    let tools = ToolFolder::new(&workspace.target, children.clone(), log.clone());
    let cargo_lambda = match CargoLambda::find(&tools).await {
        Some(found) => found,
        None => CargoLambda::fetch(&tools, terminal).await?,
    };
    let zig = Zig::get(&tools, terminal).await?;

    let step = terminal.step(format!("Building {} functions for {architecture}", names.len()));
    step.announce();
    let folder = workspace.target.join("lambda");
    let mut command = cargo_lambda.build();
    // cargo-lambda would install a missing target without asking; `require_target` has checked it.
    command.args(["--skip-target-check", "--locked", "--target", architecture.target()]);
    command.arg("--lambda-dir").arg(&folder);
    if !debug {
        command.arg("--release");
    }
    command.current_dir(&workspace.root).env("CARGO_TARGET_DIR", &workspace.target);
    zig.add_to_path(&mut command)?;
    build_binaries(command, names, &log, children, &step, terminal).await?;
    step.done(format_args!("Built {} functions for {architecture}", names.len()));
    Ok(folder)
}

/// Checks that the standard library for an architecture is installed.
async fn require_target(architecture: Architecture) -> Result<()> {
    let output = Command::new(rustc())
        .args(["--print", "target-libdir", "--target", architecture.target()])
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to run rustc: install Rust from https://rustup.rs")?;
    if !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        bail!(
            "the Rust target {target} is not installed: install it (with rustup: rustup target add {target}), or pass \
             --architecture with this machine's, and deploy with the same",
            target = architecture.target()
        );
    }
    Ok(())
}

/// Reads a function's binary from a folder: `NAME`, as cargo writes it, or `NAME/bootstrap`, as cargo-lambda does.
pub(super) fn read(name: &str, folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let path = if path.is_dir() { path.join("bootstrap") } else { path };
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{} does not exist: build it, or leave out --binaries", path.display())
        }
        read => read.with_context(|| format!("failed to read {}", path.display())),
    }
}
