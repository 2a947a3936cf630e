//! The workspace of the functions: its folder, template and binaries.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::program::cargo;

const TEMPLATE: &str = "template.yaml";

/// A cargo workspace with a SAM template in its root.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) template: PathBuf,
    /// Cargo's target folder. All files are written below it: others would trigger a reload unless git ignores them.
    pub(crate) target: PathBuf,
    binaries: BTreeSet<String>,
}

/// The output of `cargo metadata`, with the fields that are used here.
#[derive(Debug, Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// Finds the workspace of a template; without a path, of the nearest template in the current folder or above.
    pub(crate) async fn find(template: Option<&Path>) -> Result<Self> {
        let current = std::env::current_dir().context("failed to find the current folder")?;
        let template = match template {
            Some(path) => current.join(path),
            None => nearest(&current)?,
        };
        let template = template.canonicalize().with_context(|| format!("failed to open {}", template.display()))?;
        let root = template.parent().context("the template has no parent folder")?.to_owned();
        let metadata = metadata(&root).await?;
        let binaries = metadata
            .packages
            .into_iter()
            .flat_map(|package| package.targets)
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name)
            .collect();
        Ok(Self { root, template, target: metadata.target_directory, binaries })
    }

    /// Checks that the workspace builds a binary for each function of the template.
    pub(crate) fn require_binaries<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing: Vec<&str> = names.into_iter().filter(|name| !self.binaries.contains(*name)).collect();
        if !missing.is_empty() {
            bail!(
                "no crate of this workspace builds these functions of {TEMPLATE}: {}; check Metadata.BuildProperties.Binary",
                missing.join(", ")
            );
        }
        Ok(())
    }

    /// A path relative to the workspace's folder, for people.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn nearest(folder: &Path) -> Result<PathBuf> {
    folder.ancestors().map(|ancestor| ancestor.join(TEMPLATE)).find(|path| path.is_file()).with_context(|| {
        format!("no {TEMPLATE} in this folder or above: change to the project's folder, or pass --template PATH")
    })
}

async fn metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run cargo: install Rust from https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo cannot read the workspace:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("failed to parse the output of `cargo metadata`")
}
