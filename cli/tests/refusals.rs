//! What `chat dev` says when it cannot start: one line on stderr that says what to do, and exit code 1.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const TEMPLATE: &str = "
Resources:
  GreetFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: greet } }
";

/// A workspace with one function, which is never built here.
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

/// The one line on stderr of a start that failed.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = chat_dev(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn a_folder_without_a_template() {
    let folder = tempfile::tempdir().expect("a folder");
    let refusal = refusal(folder.path(), &[]);
    assert!(refusal.contains("no template.yaml here or above"), "{refusal}");
}

#[test]
fn a_port_that_is_taken() {
    let workspace = workspace();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    for flag in ["--port", "--dynamodb-port", "--invoke-port"] {
        let mut arguments = vec!["--port", "0", "--dynamodb-port", "0", "--in-memory"];
        match arguments.iter().position(|argument| *argument == flag) {
            Some(at) => arguments[at + 1] = &port,
            None => arguments.extend([flag, &port]),
        }
        let refusal = refusal(workspace.path(), &arguments);
        assert!(refusal.starts_with(&format!("✗ port {port} is taken")), "{refusal}");
        assert!(refusal.contains(&format!("or grant {flag} ")), "{refusal}");
    }
}

#[test]
fn a_function_that_no_crate_builds() {
    let workspace = workspace();
    fs::write(workspace.path().join("template.yaml"), TEMPLATE.replace("Binary: greet", "Binary: part"))
        .expect("written");
    let refusal = refusal(workspace.path(), &["--in-memory", "--port", "0", "--dynamodb-port", "0"]);
    assert!(refusal.ends_with("names functions that no crate of this workspace builds: part"), "{refusal}");
}

#[test]
fn a_parameter_that_the_template_does_not_have() {
    let workspace = workspace();
    let refusal = refusal(workspace.path(), &["--parameter", "Colour=red"]);
    assert!(refusal.contains("the template has no parameter Colour"), "{refusal}");
}

#[test]
fn a_program_gets_the_refusal_as_json_too() {
    let workspace = workspace();
    let output = chat_dev(workspace.path(), &["--json", "--parameter", "Colour=red"]);
    let line = String::from_utf8(output.stdout).expect("UTF-8");
    let event: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
    assert_eq!(event["event"], "failed");
    assert!(event["message"].as_str().is_some_and(|message| message.contains("Colour")), "{event}");
}
