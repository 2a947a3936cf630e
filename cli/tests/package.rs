//! `chat package` with given binaries: building them takes minutes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

const TEMPLATE: &str = "
Resources:
  GreetFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: greet } }
    Properties: { CodeUri: ., Handler: bootstrap }
";
/// Reads an archive with another implementation, and prints its files.
const UNZIP: &str = "
import json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
files = archive.infolist()
print(json.dumps([[file.filename, oct(file.external_attr >> 16), archive.read(file).hex()] for file in files]))
";

/// A workspace with one function and a folder with its binary.
struct Workspace(TempDir);

impl Workspace {
    fn new(binary: &[u8]) -> Self {
        let workspace = Self(tempfile::tempdir().expect("a folder"));
        workspace.write("template.yaml", TEMPLATE.as_bytes());
        workspace.write(
            "Cargo.toml",
            b"[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
        );
        workspace.write("src/main.rs", b"fn main() {}\n");
        workspace.write("built/greet", binary);
        workspace
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, bytes).expect("written");
    }

    fn package(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_chat"))
            .args(["package", "--json", "--binaries", "built", "--output", "package"])
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null())
            .output()
            .expect("chat starts")
    }
}

/// A binary with the header of an x86-64 program, as far as `chat package` reads it.
fn binary() -> Vec<u8> {
    let mut binary = b"\x7fELF".to_vec();
    binary.resize(18, 0);
    binary.push(0x3e);
    binary.extend(b"\x00 the rest of it".repeat(1000));
    binary
}

fn unzip(archive: &Path) -> Value {
    let output = Command::new("python3").args(["-c", UNZIP]).arg(archive).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn package_contains_archives_and_a_template() {
    let workspace = Workspace::new(&binary());
    let output = workspace.package(&["--architecture", "x86_64"]);
    assert!(output.status.success(), "{output:?}");

    let archive = workspace.path("package/greet.zip");
    assert_eq!(unzip(&archive), json!([["bootstrap", "0o100755", hex(&binary())]]));

    let template = fs::read(workspace.path("package/template.json")).expect("a template");
    let template: Value = serde_json::from_slice(&template).expect("JSON");
    assert_eq!(template["Resources"]["GreetFunction"]["Properties"]["CodeUri"], "greet.zip");

    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let zipped = fs::metadata(&archive).expect("the archive exists").len();
    assert!(zipped < binary().len() as u64 / 10, "the archive of {zipped} bytes is not compressed");
    let function = json!({
        "name": "greet", "file": "package/greet.zip", "binary_bytes": binary().len(), "zipped_bytes": zipped,
    });
    let expected = json!({ "architecture": "x86_64", "template": "package/template.json", "functions": [function] });
    assert_eq!(printed, expected);
}

#[test]
fn same_binary_gives_the_same_archive() {
    let archive = |binary: &[u8]| {
        let workspace = Workspace::new(binary);
        assert!(workspace.package(&["--architecture", "x86_64"]).status.success());
        fs::read(workspace.path("package/greet.zip")).expect("an archive")
    };
    let (first, second) = (archive(&binary()), archive(&binary()));
    assert_eq!(first, second, "deploying an unchanged function would change it");
    assert_ne!(first, archive(&[binary(), b"!".to_vec()].concat()));
}

#[test]
fn failed_package_has_no_template() {
    let workspace = Workspace::new(&binary());
    assert!(workspace.package(&["--architecture", "x86_64"]).status.success());
    workspace.write("built/greet", b"#!/bin/sh\n");
    assert_eq!(workspace.package(&["--architecture", "x86_64"]).status.code(), Some(1));
    assert!(!workspace.path("package/template.json").exists(), "the folder looks like a complete package");
}

#[test]
fn binary_that_lambda_could_not_start_is_refused() {
    for (binary, architecture, expected) in [
        (binary(), "arm64", "greet cannot be packaged: it is built for x86_64, not arm64: pass --architecture x86_64"),
        (b"#!/bin/sh\n".to_vec(), "x86_64", "greet cannot be packaged: it is not a Linux program"),
    ] {
        let workspace = Workspace::new(&binary);
        let output = workspace.package(&["--architecture", architecture]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let message = printed["error"]["message"].as_str().expect("text");
        assert!(message.starts_with(expected), "{message}");
        assert!(!workspace.path("package/template.json").exists(), "the folder looks like a complete package");
    }
}
