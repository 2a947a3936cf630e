//! Zig: the one on the `PATH`, else from PyPI, where its makers publish it. cargo-lambda links with it for the glibc of
//! Lambda's Linux, which may be older than this machine's.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{
    folder::ToolFolder,
    pip::{self, Requirement},
};
use crate::{process::first_line, terminal::Terminal};

const NAME: &str = "ziglang-0.17.1";
const REQUIREMENT: Requirement = Requirement {
    name: "ziglang",
    version: "0.17.1",
    // The wheels for macOS (x86-64, arm64) and Linux (arm64, x86-64), as PyPI lists them.
    sha256: &[
        "4e0b4b9c02b8d0d220e9948010f860b62ff11d96abb39762eca5fa2ef3f7bc97",
        "09953b6af7f64168b915180a42774f520f92d86ef6331b28e33915c7e1f0bb23",
        "b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e",
        "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54",
    ],
};

/// An installed Zig.
#[derive(Debug, Clone)]
pub(crate) struct Zig {
    /// The folder of the program; `None` if it is on the `PATH`.
    folder: Option<PathBuf>,
}

impl Zig {
    /// Finds Zig, or fetches it.
    pub(crate) async fn get(tools: &ToolFolder, terminal: &Terminal) -> Result<Self> {
        let program = |tool: PathBuf| Self { folder: Some(tool.join("ziglang")) };
        if tools.path(NAME).exists() {
            return Ok(program(tools.path(NAME)));
        }
        if first_line("zig", &["version"]).await.is_some() {
            return Ok(Self { folder: None });
        }
        let step = terminal.step(format!("Fetching Zig {} (101 MB)", REQUIREMENT.version));
        step.announce();
        let fetch = async |scratch: &Path| {
            let folder = scratch.join("tool");
            pip::install(tools, &[REQUIREMENT], Some(&folder), scratch, &step).await?;
            Ok(folder)
        };
        let tool = tools.install(NAME, &step, fetch).await?;
        step.done(format_args!("Fetched Zig {}, checksum verified", REQUIREMENT.version));
        Ok(program(tool))
    }

    /// Puts it on the `PATH` of a command.
    pub(crate) fn add_to_path(&self, command: &mut Command) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&path));
        let path: OsString = std::env::join_paths(folders).context("failed to put Zig on the PATH")?;
        command.env("PATH", path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_name_contains_the_pinned_version() {
        assert!(NAME.contains(REQUIREMENT.version));
    }
}
