//! Node.js, which runs the examples of the documentation.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use serde_json::Value;

use crate::Options;

/// The program: the installed one, or else one below `target/tools`. `chat` finds or fetches it.
#[must_use]
pub fn node() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let Options { workspace, target, .. } = Options::binaries();
        let mut chat = Command::new(target.join("debug/chat"));
        let output = chat.arg("node").current_dir(workspace).env("CARGO_TARGET_DIR", &target).output();
        let output = output.expect("the command line runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ready: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        ready["node"].as_str().expect("a path").into()
    };
    PROGRAM.get_or_init(find).clone()
}
