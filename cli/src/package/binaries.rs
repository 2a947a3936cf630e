//! The programs of the functions.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::architecture::Architecture;
use crate::dev::{self, CargoLambda, Tools, Workspace, Zig};
use crate::process::{Children, Log};
use crate::terminal::Terminal;

/// Builds the functions as Lambda runs them. Returns the folder that they lie in.
pub(super) async fn build(
    workspace: &Workspace,
    names: &[String],
    architecture: Architecture,
    debug: bool,
    terminal: &Terminal,
) -> Result<PathBuf> {
    require_library(architecture).await?;
    let children = Children::new()?;
    let built = compile(workspace, names, architecture, debug, &children, terminal).await;
    children.stop().await;
    built
}

async fn compile(
    workspace: &Workspace,
    names: &[String],
    architecture: Architecture,
    debug: bool,
    children: &Children,
    terminal: &Terminal,
) -> Result<PathBuf> {
    let log = Log::create(workspace.target.join("package.log"))?;
    let tools = Tools::new(&workspace.target, children.clone(), log.clone());
    let cargo_lambda = match CargoLambda::find(&tools).await {
        Some(found) => found,
        None => CargoLambda::fetch(&tools, terminal).await?,
    };
    let zig = Zig::get(&tools, terminal).await?;

    let step = terminal.step(format!("Building {} functions for {architecture}", names.len()));
    step.announce();
    let folder = workspace.target.join("lambda");
    let mut command = cargo_lambda.build();
    // Nothing is installed behind anybody's back: whether Rust has the target was asked above.
    command.args(["--skip-target-check", "--locked", "--target", architecture.target()]);
    command.arg("--lambda-dir").arg(&folder);
    if !debug {
        command.arg("--release");
    }
    command.current_dir(&workspace.root).env("CARGO_TARGET_DIR", &workspace.target);
    zig.give(&mut command)?;
    dev::compile(command, names, &log, children, &step, terminal).await?;
    step.done(format_args!("Built {} functions for {architecture}", names.len()));
    Ok(folder)
}

/// Rust must have its library for the processor, which it has for its own.
async fn require_library(architecture: Architecture) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", architecture.target()])
        .stdin(Stdio::null())
        .output()
        .await
        .context("failed to run rustc; install Rust from https://rustup.rs")?;
    if !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        bail!(
            "this Rust has no library for {target}; add it (with rustup: rustup target add {target}), or grant \
             --architecture of this machine, and deploy with the same",
            target = architecture.target()
        );
    }
    Ok(())
}

/// Reads a function's program from a folder: `NAME`, as cargo leaves it, or `NAME/bootstrap`, as cargo-lambda does.
pub(super) fn read(name: &str, folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let path = if path.is_dir() { path.join("bootstrap") } else { path };
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{} is missing; build it, or leave out --binaries", path.display())
        }
        read => read.with_context(|| format!("failed to read {}", path.display())),
    }
}
