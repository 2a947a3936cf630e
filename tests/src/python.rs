//! Clients and tools in Python, from PyPI.

use std::{fs, path::PathBuf, process::Command};

use crate::Options;

/// The programs of a virtual environment below `target/tools` that has one package of one version.
#[must_use]
pub fn python_with(package: &str, version: &str) -> PathBuf {
    let environment = Options::binaries().target.join("tools").join(format!("python-{package}-{version}"));
    let (programs, whole) = (environment.join("bin"), environment.join("whole"));
    // The mark comes last, so an installation that was cut off is not taken for whole.
    if !whole.exists() {
        if environment.exists() {
            fs::remove_dir_all(&environment).expect("half an installation can be removed");
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let package = format!("{package}=={version}");
        run(Command::new(programs.join("python")).args(["-m", "pip", "install", "--quiet", &package]));
        fs::write(whole, "").expect("a mark can be made");
    }
    programs
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "this does not work, which a test needs: {command:?}");
}
