//! Runs `chat` on a DynamoDB Local of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use serde_json::Value;
use shared::storage::{ConnectionRepository, TenantRepository};

const CHAT: &str = env!("CARGO_BIN_EXE_chat");

/// A DynamoDB Local with the tables of the template.
struct Database {
    endpoint: String,
    /// It exits when its stdin closes, which is when this process exits.
    _process: Child,
}

/// The address of this process's DynamoDB Local. The first test starts it; each test creates its own tenants.
pub(crate) fn dynamodb_endpoint() -> &'static str {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    let database = DATABASE.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace");
        let target = Path::new(CHAT).ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
        let mut process = Command::new(CHAT)
            .arg("dynamodb")
            .current_dir(workspace)
            .env("CARGO_TARGET_DIR", target.expect("the program is below the target folder"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chat starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("one JSON object");
        let endpoint =
            ready["dynamodb_endpoint"].as_str().unwrap_or_else(|| panic!("DynamoDB Local does not start: {ready}"));
        Database { endpoint: endpoint.to_owned(), _process: process }
    });
    &database.endpoint
}

/// A client of the tables.
pub(crate) fn dynamodb() -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(dynamodb_endpoint())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// The tenants table.
pub(crate) fn tenants() -> TenantRepository {
    TenantRepository::new(dynamodb(), "TenantsTable".to_owned())
}

/// The connections table.
pub(crate) fn connections() -> ConnectionRepository {
    ConnectionRepository::new(dynamodb(), "ConnectionsTable".to_owned())
}

/// `chat`, before its arguments, without the AWS variables of the developer's shell.
pub(crate) fn chat() -> Command {
    let mut command = Command::new(CHAT);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AWS_")) {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command on the local tables.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = chat();
    command.args(arguments).args(["--dynamodb-endpoint", dynamodb_endpoint()]);
    command.output().expect("chat starts")
}

/// Runs a command with this stdin. Returns the JSON that it prints, as `Err` if it fails.
pub(crate) fn json_with(arguments: &[&str], stdin: &str) -> Result<Value, Value> {
    let mut command = chat();
    command.args(arguments).args(["--json", "--dynamodb-endpoint", dynamodb_endpoint()]).stdin(Stdio::piped());
    let mut process = command.spawn().expect("chat starts");
    let mut pipe = process.stdin.take().expect("stdin is piped");
    pipe.write_all(stdin.as_bytes()).expect("it reads");
    drop(pipe);
    result(&process.wait_with_output().expect("chat ends"))
}

/// Runs a command that succeeds. Returns the JSON that it prints.
pub(crate) fn json(arguments: &[&str]) -> Value {
    json_with(arguments, "").unwrap_or_else(|error| panic!("{arguments:?} fails: {error}"))
}

/// Runs a command that fails. Returns its error message.
pub(crate) fn failure(arguments: &[&str]) -> String {
    message(json_with(arguments, ""))
}

/// The error message of a command that failed.
pub(crate) fn message(result: Result<Value, Value>) -> String {
    let error = result.expect_err("it fails");
    error["error"]["message"].as_str().expect("a message").to_owned()
}

/// The JSON that a command printed, as `Err` if it failed.
pub(crate) fn result(output: &Output) -> Result<Value, Value> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stdout.lines().count(), 1, "one line on stdout: {stdout}{stderr}");
    let value = serde_json::from_str(&stdout).expect("JSON");
    match output.status.code() {
        Some(0) => Ok(value),
        Some(1) => {
            assert_eq!(stderr.lines().filter(|line| line.starts_with('✗')).count(), 1, "{stderr}");
            Err(value)
        }
        code => panic!("exit code {code:?}: {stderr}"),
    }
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    format!("{name} {}", shared::domain::id::MessageId::generate())
}

/// Starts an HTTP server that runs until this process exits. `handler` gets the request line and the body, and returns
/// status and body. Returns the server's address.
pub(crate) fn serve(handler: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may disconnect at any time.
            let _ = respond(stream, &handler);
        }
    });
    format!("http://{address}")
}

fn respond(mut stream: TcpStream, handler: &impl Fn(&str, &str) -> (u16, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, text) = handler(request.trim_end(), &String::from_utf8_lossy(&body));
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nconnection: close\r\nx-amzn-errortype: {}\r\ncontent-length: {}\r\n\r\n{text}",
        match status {
            410 => "GoneException",
            429 => "LimitExceededException",
            _ => "",
        },
        text.len(),
    )
}
