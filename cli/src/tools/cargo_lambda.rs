//! cargo-lambda: the one on the `PATH` if it has the pinned version, else from PyPI, where its makers publish binaries.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{
    folder::ToolFolder,
    pip::{self, Requirement},
};
use crate::{process::first_line, terminal::Terminal};

const VERSION: &str = "1.9.2";
const PROGRAM: &str = "cargo-lambda";
const REQUIREMENT: Requirement = Requirement {
    name: PROGRAM,
    version: VERSION,
    // The wheels for macOS (x86-64, arm64) and Linux (arm64, x86-64), as PyPI lists them.
    sha256: &[
        "05efdab4db99fd976f5718b67bb4e72089335d1aab209168f2dfe20907b0e341",
        "28e2f698b4e0e367097cd30a8ded8ddc6851dba6f4d53b907b4659a635ae3665",
        "3350315e8b4e88f7134967f51546bf51aa5db37a6d39a17380545362ae27e289",
        "db2c0b1d53d7ed0055198fd045f641addc91b180b20d794fcf78cc9a9efacb38",
    ],
};

/// An installed cargo-lambda of the pinned version.
#[derive(Debug, Clone)]
pub(crate) struct CargoLambda {
    program: PathBuf,
}

impl CargoLambda {
    /// Finds an installed cargo-lambda.
    pub(crate) async fn find(tools: &ToolFolder) -> Option<Self> {
        let fetched = tools.path(&name()).join(PROGRAM);
        if fetched.exists() {
            return Some(Self { program: fetched });
        }
        let line = first_line(PROGRAM, &["--version"]).await?;
        is_pinned(&line).then(|| Self { program: PROGRAM.into() })
    }

    /// Fetches cargo-lambda.
    pub(crate) async fn fetch(tools: &ToolFolder, terminal: &Terminal) -> Result<Self> {
        let step = terminal.step(format!("Fetching cargo-lambda {VERSION} (14 MB)"));
        step.announce();
        let fetch = async |scratch: &Path| {
            let venv = pip::install(tools, &[REQUIREMENT], None, scratch, &step).await?;
            // Keeps the program alone: a virtual environment contains absolute paths and cannot be renamed.
            let tool = scratch.join("tool");
            std::fs::create_dir(&tool)
                .and_then(|()| std::fs::rename(venv.join("bin").join(PROGRAM), tool.join(PROGRAM)))
                .context("the package of cargo-lambda contains no program")?;
            Ok(tool)
        };
        let folder = tools.install(&name(), &step, fetch).await?;
        step.done(format_args!("Fetched cargo-lambda {VERSION}, checksum verified"));
        Ok(Self { program: folder.join(PROGRAM) })
    }

    /// `cargo lambda build`, before its arguments.
    pub(crate) fn build(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["lambda", "build"]);
        command
    }

    /// `cargo lambda watch`, before its arguments.
    pub(crate) fn watch(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["lambda", "watch"]);
        command
    }
}

fn name() -> String {
    format!("{PROGRAM}-{VERSION}")
}

/// Whether `cargo-lambda 1.9.2 (67129fc 2026-08-21Z)` is the pinned version.
fn is_pinned(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pinned_version_is_accepted() {
        assert!(is_pinned("cargo-lambda 1.9.2 (67129fc 2026-08-21Z)"));
        assert!(!is_pinned("cargo-lambda 1.9.20 (67129fc 2026-08-21Z)"));
        assert!(!is_pinned("error: no such command"));
    }
}
