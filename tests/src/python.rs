//! Clients and tools in Python, from PyPI.

use std::{fs, path::PathBuf, process::Command};

use crate::Options;

/// A Python that has one package of one version, in a virtual environment below `target/tools`.
#[must_use]
pub fn python_with(package: &str, version: &str) -> PathBuf {
    let tools = Options::binaries().target.join("tools");
    let folder = tools.join(format!("python-{package}-{version}"));
    let python = folder.join("bin/python");
    if !python.exists() {
        // Made beside its place and moved there, so that one that was cut off is not taken for whole.
        let draft = tools.join(format!("python-{package}-{}", std::process::id()));
        let made = Command::new("python3").args(["-m", "venv"]).arg(&draft).status();
        assert!(made.is_ok_and(|status| status.success()), "python3 with venv is needed");
        let package = format!("{package}=={version}");
        let installed =
            Command::new(draft.join("bin/python")).args(["-m", "pip", "install", "--quiet", &package]).status();
        assert!(installed.is_ok_and(|status| status.success()), "failed to install {package} from PyPI");
        if fs::rename(&draft, &folder).is_err() {
            // Another process was faster.
            fs::remove_dir_all(&draft).expect("the draft can be removed");
        }
    }
    python
}
