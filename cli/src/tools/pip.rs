//! Packages from PyPI, pinned by version and hash.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use super::folder::ToolFolder;
use crate::terminal::{Step, Terminal};

/// A pinned package. pip accepts the wheel of this machine's platform only if its hash is listed.
#[derive(Debug)]
pub(super) struct Requirement {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static [&'static str],
}

/// Fetches packages into a folder of the tools, and returns the folder. `what` is shown, such as `Java (35 MB)`.
pub(super) async fn fetch(
    tools: &ToolFolder,
    folder: &str,
    what: &str,
    requirements: &[Requirement],
    terminal: &Terminal,
) -> Result<PathBuf> {
    let step = terminal.step(format!("Fetching {what}"));
    step.announce();
    let fetch = async |scratch: &Path| {
        let target = scratch.join("tool");
        install(tools, requirements, Some(&target), scratch, &step).await?;
        Ok(target)
    };
    let folder = tools.install(folder, &step, fetch).await?;
    step.done(format_args!("Fetched {what}, checksums verified"));
    Ok(folder)
}

/// Installs packages without their dependencies, into the folder `target` or else into a virtual environment below
/// `scratch`. Returns the path of the virtual environment.
pub(super) async fn install(
    tools: &ToolFolder,
    requirements: &[Requirement],
    target: Option<&Path>,
    scratch: &Path,
    step: &Step,
) -> Result<PathBuf> {
    let venv = scratch.join("venv");
    let mut python = Command::new("python3");
    python.args(["-m", "venv"]).arg(&venv);
    tools.run(python, scratch, step).await?;

    let list = scratch.join("requirements.txt");
    std::fs::write(&list, requirements.iter().map(Requirement::line).collect::<String>())
        .with_context(|| format!("failed to write {}", list.display()))?;
    let mut pip = Command::new(venv.join("bin").join("pip"));
    pip.args(["install", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary", ":all:"]);
    pip.args(["--require-hashes", "--requirement"]).arg(list);
    if let Some(target) = target {
        pip.arg("--target").arg(target);
    }
    // Unpacks below `scratch`, whose size is the progress.
    pip.env("TMPDIR", scratch);
    tools.run(pip, scratch, step).await?;
    Ok(venv)
}

impl Requirement {
    fn line(&self) -> String {
        let hashes: Vec<String> = self.sha256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        format!("{}=={}{}\n", self.name, self.version, hashes.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirement_lists_every_hash() {
        let requirement = Requirement { name: "package", version: "1.2", sha256: &["aa", "bb"] };
        assert_eq!(requirement.line(), "package==1.2 --hash=sha256:aa --hash=sha256:bb\n");
    }
}
