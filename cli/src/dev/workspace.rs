//! The workspace whose stack is started: where it lies, and what cargo knows of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

const TEMPLATE: &str = "template.yaml";

/// The folder of the template, and cargo's view of it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) template: PathBuf,
    /// Everything that is written lies below it: what git does not ignore would make the functions reload.
    pub(crate) target: PathBuf,
    binaries: BTreeSet<String>,
}

/// What `cargo metadata` says, as far as it matters here.
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
    /// Finds the workspace of a template, or of the nearest one upwards from the current folder.
    pub(crate) async fn find(template: Option<&Path>) -> Result<Self> {
        let current = std::env::current_dir().context("failed to find the current folder")?;
        let template = match template {
            Some(path) => current.join(path),
            None => nearest(&current)?,
        };
        let template = template.canonicalize().with_context(|| format!("failed to open {}", template.display()))?;
        let root = template.parent().context("the template lies in no folder")?.to_owned();
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

    /// Checks that each function of the template has a binary of its name.
    pub(crate) fn require_binaries<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing: Vec<&str> = names.into_iter().filter(|name| !self.binaries.contains(*name)).collect();
        if !missing.is_empty() {
            bail!("{TEMPLATE} names functions that no crate of this workspace builds: {}", missing.join(", "));
        }
        Ok(())
    }

    /// A path as a person in the workspace would write it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn nearest(folder: &Path) -> Result<PathBuf> {
    folder
        .ancestors()
        .map(|ancestor| ancestor.join(TEMPLATE))
        .find(|path| path.is_file())
        .with_context(|| format!("no {TEMPLATE} here or above; go into the project's folder, or grant --template PATH"))
}

async fn metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("failed to run cargo; install Rust from https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo cannot read the workspace:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("failed to understand `cargo metadata`")
}

/// The cargo that runs this program, if one does.
pub(super) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
