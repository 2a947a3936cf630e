//! Packages from PyPI, each of one version and known by its hashes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use super::Tools;
use crate::terminal::Step;

/// A package of one version. pip takes the wheel of the machine's platform, if its hash is one of these.
#[derive(Debug)]
pub(super) struct Requirement {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static [&'static str],
}

/// Installs packages without what they depend on: into a virtual environment below `scratch`, whose path it returns, or
/// by it into the folder `target`.
pub(super) async fn install(
    tools: &Tools,
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
    // What is unpacked in sight makes the progress visible.
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
    fn a_requirement_names_every_hash() {
        let requirement = Requirement { name: "package", version: "1.2", sha256: &["aa", "bb"] };
        assert_eq!(requirement.line(), "package==1.2 --hash=sha256:aa --hash=sha256:bb\n");
    }
}
