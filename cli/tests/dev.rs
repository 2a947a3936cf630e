//! `chat dev` when it cannot start: one line on stderr that says what to do, and exit code 1.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const TEMPLATE: &str = "
Resources:
  GreetFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: greet } }
";

/// A workspace with one function, which these tests never build.
fn workspace() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, text).expect("written");
    };
    write("template.yaml", TEMPLATE);
    write("Cargo.toml", "[package]\nname = \"greet\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
    write("src/main.rs", "fn main() {}\n");
    folder
}

fn chat_dev(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat"))
        .arg("dev")
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("chat starts")
}

/// The line on stderr of a start that fails.
fn failure(folder: &Path, arguments: &[&str]) -> String {
    let output = chat_dev(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn folder_without_a_template_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let failure = failure(folder.path(), &[]);
    assert!(failure.contains("no template.yaml in this folder or above"), "{failure}");
}

#[test]
fn port_in_use_is_reported_with_its_flag() {
    let workspace = workspace();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    for flag in ["--port", "--dynamodb-port", "--invoke-port"] {
        let mut arguments = vec!["--port", "0", "--dynamodb-port", "0", "--in-memory"];
        match arguments.iter().position(|argument| *argument == flag) {
            Some(at) => arguments[at + 1] = &port,
            None => arguments.extend([flag, &port]),
        }
        let failure = failure(workspace.path(), &arguments);
        assert!(failure.starts_with(&format!("✗ port {port} is in use")), "{failure}");
        assert!(failure.contains(&format!("or pass {flag} ")), "{failure}");
    }
}

#[test]
fn function_without_a_crate_is_reported() {
    let workspace = workspace();
    fs::write(workspace.path().join("template.yaml"), TEMPLATE.replace("Binary: greet", "Binary: part"))
        .expect("written");
    let failure = failure(workspace.path(), &["--in-memory", "--port", "0", "--dynamodb-port", "0"]);
    assert!(failure.contains("no crate of this workspace builds these functions of template.yaml: part;"), "{failure}");
}

#[test]
fn unknown_template_parameter_is_reported() {
    let workspace = workspace();
    let failure = failure(workspace.path(), &["--parameter", "Colour=red"]);
    assert!(failure.contains("the template has no parameter Colour"), "{failure}");
}

#[test]
fn failure_is_also_an_event_for_programs() {
    let workspace = workspace();
    let output = chat_dev(workspace.path(), &["--json", "--parameter", "Colour=red"]);
    let line = String::from_utf8(output.stdout).expect("UTF-8");
    let event: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
    assert_eq!(event["event"], "failed");
    assert!(event["message"].as_str().is_some_and(|message| message.contains("Colour")), "{event}");
}
