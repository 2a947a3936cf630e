//! `chat package`, with binaries that are there already: building them takes minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const TEMPLATE: &str = "
Resources:
  GreetFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: greet } }
    Properties: { CodeUri: ., Handler: bootstrap }
";
/// Opens an archive as others do, and prints what is in it.
const UNZIP: &str = "
import json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
files = archive.infolist()
print(json.dumps([[file.filename, oct(file.external_attr >> 16), archive.read(file).hex()] for file in files]))
";

/// A workspace with one function, and a folder with its binary, which no processor could run.
struct Place(TempDir);

impl Place {
    fn new(program: &[u8]) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        place.write("template.yaml", TEMPLATE.as_bytes());
        place.write(
            "Cargo.toml",
            b"[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
        );
        place.write("src/main.rs", b"fn main() {}\n");
        place.write("built/greet", program);
        place
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

/// The beginning of a program for x86-64, as far as anybody looks at it, and something behind it.
fn program() -> Vec<u8> {
    let mut program = b"\x7fELF".to_vec();
    program.resize(18, 0);
    program.push(0x3e);
    program.extend(b"\x00 the rest of it".repeat(1000));
    program
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
fn a_package_holds_what_a_deploy_needs() {
    let place = Place::new(&program());
    let output = place.package(&["--architecture", "x86_64"]);
    assert!(output.status.success(), "{output:?}");

    let archive = place.path("package/greet.zip");
    assert_eq!(unzip(&archive), json!([["bootstrap", "0o100755", hex(&program())]]));

    let template = fs::read(place.path("package/template.json")).expect("a template");
    let template: Value = serde_json::from_slice(&template).expect("JSON");
    assert_eq!(template["Resources"]["GreetFunction"]["Properties"]["CodeUri"], "greet.zip");

    let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let zipped = fs::metadata(&archive).expect("it is there").len();
    assert!(zipped < program().len() as u64 / 10, "{zipped} bytes are not compressed");
    let function = json!({
        "name": "greet", "file": "package/greet.zip", "program_bytes": program().len(), "zipped_bytes": zipped,
    });
    let expected = json!({ "architecture": "x86_64", "template": "package/template.json", "functions": [function] });
    assert_eq!(printed, expected);
}

#[test]
fn the_same_program_gives_the_same_archive() {
    let archive = |program: &[u8]| {
        let place = Place::new(program);
        assert!(place.package(&["--architecture", "x86_64"]).status.success());
        fs::read(place.path("package/greet.zip")).expect("an archive")
    };
    let (first, second) = (archive(&program()), archive(&program()));
    assert_eq!(first, second, "a deploy would change what has not changed");
    assert_ne!(first, archive(&[program(), b"!".to_vec()].concat()));
}

#[test]
fn a_template_means_that_the_archives_are_its_own() {
    let place = Place::new(&program());
    assert!(place.package(&["--architecture", "x86_64"]).status.success());
    place.write("built/greet", b"#!/bin/sh\n");
    assert_eq!(place.package(&["--architecture", "x86_64"]).status.code(), Some(1));
    assert!(!place.path("package/template.json").exists(), "it looks like a package");
}

#[test]
fn what_lambda_could_not_start_is_not_packed() {
    for (program, architecture, says) in [
        (program(), "arm64", "greet cannot be packed: it is built for x86_64, not arm64; grant --architecture x86_64"),
        (b"#!/bin/sh\n".to_vec(), "x86_64", "greet cannot be packed: it is no program for Linux"),
    ] {
        let place = Place::new(&program);
        let output = place.package(&["--architecture", architecture]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        let message = printed["error"]["message"].as_str().expect("text");
        assert!(message.starts_with(says), "{message}");
        assert!(!place.path("package/template.json").exists(), "it looks like a package");
    }
}
