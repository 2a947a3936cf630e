//! The programs that must be installed.
//!
//! Only what this start needs is checked: npm and Python fetch tools, and are not needed once those are installed.

use anyhow::{Result, bail};
use tokio::try_join;

use crate::{cargo::cargo, process::first_line, terminal::Terminal};

/// The oldest version that runs DynamoDB Local.
const MIN_JAVA: u32 = 17;

/// What this start needs beside Rust.
#[derive(Debug, Clone, Copy)]
pub(super) struct Required {
    /// To run DynamoDB Local.
    pub(super) java: bool,
    /// To fetch DynamoDB Local.
    pub(super) npm: bool,
    /// To fetch cargo-lambda, or to run a model.
    pub(super) python: bool,
}

/// Checks that the required programs are installed, and prints their versions.
pub(super) async fn check(required: Required, terminal: &Terminal) -> Result<()> {
    let step = terminal.step("Checking what is installed");
    let found = try_join!(
        async { rust().await.map(Some) },
        async { if required.java { java().await.map(Some) } else { Ok(None) } },
        async { if required.npm { npm().await.map(Some) } else { Ok(None) } },
        async { if required.python { python().await.map(Some) } else { Ok(None) } },
    )?;
    let (rust, java, npm, python) = found;
    let found: Vec<String> = [rust, java, npm, python].into_iter().flatten().collect();
    step.done(format_args!("Found {}", found.join(", ")));
    Ok(())
}

async fn rust() -> Result<String> {
    let Some(line) = first_line(&cargo().to_string_lossy(), &["--version"]).await else {
        bail!("cargo is not installed: install Rust from https://rustup.rs");
    };
    Ok(line.split(" (").next().unwrap_or(&line).to_owned())
}

async fn java() -> Result<String> {
    let Some(version) = first_line("java", &["-version"]).await.as_deref().and_then(quoted).map(str::to_owned) else {
        bail!(
            "java, which runs DynamoDB Local, is not installed: install Java {MIN_JAVA} or newer (Debian and Ubuntu: apt \
             install openjdk-17-jre-headless, macOS: brew install openjdk), or pass --dynamodb-endpoint URL"
        );
    };
    match java_major(&version) {
        Some(major) if major >= MIN_JAVA => Ok(format!("java {version}")),
        _ => bail!("java {version} is too old for DynamoDB Local: install Java {MIN_JAVA} or newer"),
    }
}

async fn npm() -> Result<String> {
    match versions([("node", "--version"), ("npm", "--version")]).await {
        Ok([node, npm]) => Ok(format!("node {}, npm {npm}", node.trim_start_matches('v'))),
        Err(missing) => bail!(
            "{missing}, which fetches DynamoDB Local, is not installed: install Node.js with npm from https://nodejs.org, \
             or pass --dynamodb-endpoint URL"
        ),
    }
}

async fn python() -> Result<String> {
    let Some(version) = first_line("python3", &["--version"]).await else {
        bail!(
            "python3, which fetches cargo-lambda and runs the model of --agent local-llm, is not installed: install \
             Python 3 with venv and pip"
        );
    };
    if first_line("python3", &["-c", "import venv, ensurepip"]).await.is_none() {
        bail!("python3 lacks venv or pip: install them (Debian and Ubuntu: apt install python3-venv)");
    }
    Ok(version.to_lowercase())
}

async fn versions<const N: usize>(programs: [(&'static str, &str); N]) -> Result<[String; N], &'static str> {
    let mut lines = std::array::from_fn(|_| String::new());
    for (line, (program, argument)) in lines.iter_mut().zip(programs) {
        *line = first_line(program, &[argument]).await.ok_or(program)?;
    }
    Ok(lines)
}

/// The part of `openjdk version "17.0.15" 2025-04-15` between the quotes.
fn quoted(line: &str) -> Option<&str> {
    line.split('"').nth(1)
}

/// Java 8 and older have versions such as 1.8.
fn java_major(version: &str) -> Option<u32> {
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
    fn java_version_is_read_from_its_output() {
        assert_eq!(quoted(r#"openjdk version "17.0.15" 2025-04-15"#), Some("17.0.15"));
        assert_eq!(quoted("The operation couldn't be completed. Unable to locate a Java Runtime."), None);
    }

    #[test]
    fn major_version_is_read_from_all_formats() {
        for (version, major) in [("17.0.15", 17), ("21", 21), ("1.8.0_402", 8), ("25-ea", 25), ("22.0.1+8", 22)] {
            assert_eq!(java_major(version), Some(major), "{version}");
        }
        assert_eq!(java_major("nonsense"), None);
    }
}
