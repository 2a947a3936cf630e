//! The programs that must be installed: Rust, and Python to fetch other ones.
//!
//! Java and Node.js are fetched if they are missing or too old. Only what this start needs is checked.

use anyhow::{Result, bail};

use crate::{
    cargo::cargo,
    process::first_line,
    terminal::Terminal,
    tools::{Java, Node, ToolFolder},
};

/// What this start needs beside Rust.
#[derive(Debug, Clone, Copy)]
pub(super) struct Required {
    /// To run DynamoDB Local.
    pub(super) java: bool,
    /// To fetch DynamoDB Local.
    pub(super) node: bool,
    /// To fetch cargo-lambda, or to run a model.
    pub(super) python: bool,
}

/// What is installed of it.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) java: Option<Java>,
    pub(super) node: Option<Node>,
}

/// Finds what is installed, prints the versions, and checks that Python can fetch the rest.
pub(super) async fn check(required: Required, tools: &ToolFolder, terminal: &Terminal) -> Result<Installed> {
    let step = terminal.step("Checking what is installed");
    let (rust, java, node) =
        tokio::join!(rust(), async { if required.java { Java::find(tools).await } else { None } }, async {
            if required.node { Node::find(tools).await } else { None }
        },);
    let rust = rust?;
    let fetches = (required.java && java.is_none()) || (required.node && node.is_none());
    let python = if required.python || fetches { Some(python().await?) } else { None };
    let (java_version, node_version) =
        (java.as_ref().map(|java| &java.version), node.as_ref().map(|node| &node.version));
    let found = [Some(&rust), java_version, node_version, python.as_ref()].into_iter().flatten().cloned();
    step.done(format_args!("Found {}", found.collect::<Vec<_>>().join(", ")));
    Ok(Installed { java, node })
}

async fn rust() -> Result<String> {
    let Some(line) = first_line(&cargo().to_string_lossy(), &["--version"]).await else {
        bail!("cargo is not installed: install Rust from https://rustup.rs");
    };
    Ok(line.split(" (").next().unwrap_or(&line).to_owned())
}

async fn python() -> Result<String> {
    let Some(version) = first_line("python3", &["--version"]).await else {
        bail!("python3, which fetches the other tools, is not installed: install Python 3 with venv and pip");
    };
    if first_line("python3", &["-c", "import venv, ensurepip"]).await.is_none() {
        bail!("python3 lacks venv or pip: install them (Debian and Ubuntu: apt install python3-venv)");
    }
    Ok(version.to_lowercase())
}
