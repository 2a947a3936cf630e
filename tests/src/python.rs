//! Python clients and tools from PyPI.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Options;

/// The programs of a virtual environment below `target/tools` with one package in one version.
#[must_use]
pub fn python_with(package: &str, version: &str) -> PathBuf {
    let wanted = format!("{package}=={version}");
    environment(&format!("{package}-{version}"), &wanted, |pip| pip.arg(&wanted))
}

/// The programs of a virtual environment below `target/tools` with the packages of a file, verified by hash.
#[must_use]
pub fn python_from(name: &str, requirements: &Path) -> PathBuf {
    let wanted = fs::read_to_string(requirements).expect("the requirements are readable");
    environment(name, &wanted, |pip| pip.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(requirements))
}

fn environment(name: &str, wanted: &str, packages: impl FnOnce(&mut Command) -> &mut Command) -> PathBuf {
    let environment = Options::binaries().target.join("tools").join(format!("python-{name}"));
    let (programs, complete) = (environment.join("bin"), environment.join("complete"));
    // Written last, so that an interrupted installation is repeated.
    if fs::read_to_string(&complete).ok().as_deref() != Some(wanted) {
        if environment.exists() {
            fs::remove_dir_all(&environment).expect("an incomplete installation can be removed");
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let mut pip = Command::new(programs.join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(packages(&mut pip));
        fs::write(complete, wanted).expect("a file can be written");
    }
    programs
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "failed to run {command:?}");
}
