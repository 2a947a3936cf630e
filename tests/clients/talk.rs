//! `chat talk` in a pipe, for a program, and on a terminal.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
};
use serde_json::Value;
use tests::{CuttingProxy, Fate, Options, Random, Stack, Tenant, python_from};
use tokio::task::spawn_blocking;

fn program() -> std::path::PathBuf {
    Stack::shared();
    Options::binaries().target.join("debug/chat")
}

/// `chat talk` of a tenant, with everything piped.
fn talk(tenant: &Tenant, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["talk", "--url", url]).args(arguments).env("CHAT_API_KEY", &tenant.key);
    // A chat has its user.
    if !arguments.iter().any(|argument| argument.starts_with("chat_")) {
        command.args(["--user", "u"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with a text on stdin.
async fn run(mut command: Command, input: &str) -> Output {
    let input = input.to_owned();
    let work = move || {
        let mut child = command.spawn().expect("it starts");
        // A program that does not read its input may have ended.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    };
    spawn_blocking(work).await.expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn pipe_gets_the_answer_alone() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let output = run(talk(&tenant, stack.rest_url(), &[]), "Hello\nTokyo 東京\n").await;
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("You said: Hello\nTokyo 東京\n", ""));
    assert!(output.status.success());
    let chats = tenant.get("/api/v1/chats/user/u").await.body;
    assert_eq!(chats["chats"][0]["title"], "Hello");
    // The same chat, by its id.
    let chat = chats["chats"][0]["chat_id"].as_str().expect("an id");
    let output = run(talk(&tenant, stack.rest_url(), &[chat]), "again").await;
    assert_eq!(text(&output.stdout), "You said: again\n");
    assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["chats"][0]["message_count"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn program_gets_every_event() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let output = run(talk(&tenant, stack.rest_url(), &["--json", "--model", "echo"]), "one\n\ntwo\n").await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let events: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let contents = |kind: &str| -> Vec<&str> {
        events.iter().filter(|event| event["type"] == kind).filter_map(|event| event["content"].as_str()).collect()
    };
    assert_eq!(contents("message_received"), ["one", "two"]);
    assert_eq!(contents("message_stream_ended"), ["You said: one", "You said: two"]);
    assert!(events.iter().any(|event| event["event"] == "state" && event["state"] == "open"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_to_do() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let url = stack.rest_url();
    let unknown = "chat_00000000000000000000000000";
    for (url, arguments, input, expected) in [
        (url, vec![], " \n", "there is nothing to send"),
        (url, vec![unknown], "Hello", "No chat with this id exists for your tenant. /chats lists yours"),
        (url, vec!["--key", "wrong"], "Hello", "This API key is not valid. Set CHAT_API_KEY"),
        ("nowhere", vec![], "Hello", "It starts with http:// or https://."),
        ("http://127.0.0.1:9", vec![], "Hello", "http://127.0.0.1:9 cannot be reached: Connection refused"),
    ] {
        let output = run(talk(&tenant, url, &arguments), input).await;
        let stderr = text(&output.stderr);
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{stderr}");
        assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    }
    // A program gets the code too, and may go on.
    let large = "x".repeat(30_000);
    let output = run(talk(&tenant, url, &["--json"]), &format!("{large}\nHello\n")).await;
    let (stdout, status) = (text(&output.stdout), output.status.code());
    assert!(stdout.contains(r#""code":"MESSAGE_TOO_LARGE""#) && stdout.contains("You said: Hello"), "{stdout}");
    assert_eq!(status, Some(1));
    let mut keyless = Command::new(program());
    keyless.args(["talk", "--url", "https://example.com"]).env_remove("CHAT_API_KEY");
    keyless.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = run(keyless, "Hello").await;
    assert!(text(&output.stderr).contains("set CHAT_API_KEY"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupt_stops_the_answer() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let mut command = talk(&tenant, stack.rest_url(), &["--model", "echo@20"]);
    let work = spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all("word\n".repeat(200).as_bytes()).expect("it reads");
        drop(stdin);
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        lines.next().expect("a line").expect("a text");
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(interrupted.is_ok_and(|status| status.success()));
        let rest = lines.map_while(Result::ok).count();
        assert!(rest < 190, "{rest} lines");
        child.wait().expect("it ends").code()
    });
    assert_eq!(work.await.expect("it runs"), Some(130));
    let messages = tenant.get("/api/v1/chats/user/u").await.body["chats"][0]["chat_id"].clone();
    let path = format!("/api/v1/chats/{}/messages", messages.as_str().expect("an id"));
    assert_eq!(tenant.get(&path).await.body["messages"][1]["status"], "cancelled");
}

/// Without a reader, nothing is asked of the model any more.
#[tokio::test(flavor = "multi_thread")]
async fn gone_reader_ends_it() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let mut command = talk(&tenant, stack.rest_url(), &["--model", "echo@20"]);
    let work = spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("stdin is piped").write_all("word\n".repeat(200).as_bytes()).expect("it reads");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        lines.next().expect("a line").expect("a text");
        drop(lines);
        child.wait().expect("it ends").code()
    });
    assert_eq!(work.await.expect("it runs"), Some(0));
    let chat = tenant.get("/api/v1/chats/user/u").await.body["chats"][0]["chat_id"].clone();
    let path = format!("/api/v1/chats/{}/messages", chat.as_str().expect("an id"));
    assert_eq!(tenant.get(&path).await.body["messages"][1]["status"], "cancelled");

    let mut command = talk(&tenant, stack.rest_url(), &["--json"]);
    let work = spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        drop(child.stdout.take());
        while stdin.write_all(b"Hello\n").is_ok() {}
        child.wait().expect("it ends").code()
    });
    assert_eq!(work.await.expect("it runs"), Some(0));
    // A full disk is another matter.
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
    let mut command = talk(&tenant, stack.rest_url(), &[]);
    command.stdout(full);
    assert_eq!(run(command, "Hello").await.status.code(), Some(1));
}

/// A program that waits for its next line ends with the signal.
#[tokio::test(flavor = "multi_thread")]
async fn interrupt_ends_json() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let mut command = talk(&tenant, stack.rest_url(), &["--json"]);
    let work = spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(b"Hello\n").expect("it reads");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("message_stream_ended")));
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(interrupted.is_ok_and(|status| status.success()));
        let code = child.wait().expect("it ends").code();
        drop(stdin);
        code
    });
    assert_eq!(work.await.expect("it runs"), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_are_not_seen() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let mut random = Random::new(5);
    let fate = move || Some(Fate::CutAfter(400 + random.below(6_000) as usize));
    let proxy = Arc::new(CuttingProxy::start(stack.rest_url(), fate).await);
    let url = serve_api_with_tickets_through(proxy.clone()).await;
    let message = "word 東京 ".repeat(200);
    let output = run(talk(&tenant, &url, &["--model", "echo@100"]), &message).await;
    assert_eq!(text(&output.stdout).trim_end(), format!("You said: {}", message.trim_end()));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(proxy.breaks() >= 3, "{} broken connections", proxy.breaks());
}

/// The REST API of the stack, with tickets whose connections break.
async fn serve_api_with_tickets_through(proxy: Arc<CuttingProxy>) -> String {
    async fn forward(State(proxy): State<Arc<CuttingProxy>>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let url = format!("{}{}", Stack::shared().rest_url(), parts.uri);
        let mut forwarded = reqwest::Client::new().request(parts.method, url).body(body);
        for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "content-length") {
            forwarded = forwarded.header(name, value);
        }
        let response = forwarded.send().await.expect("the API responds");
        let status = response.status();
        let mut body: Bytes = response.bytes().await.expect("a body");
        if let Ok(mut ticket) = serde_json::from_slice::<Value>(&body)
            && let Some(url) = ticket["url"].as_str()
        {
            ticket["url"] = proxy.through(url).into();
            body = ticket.to_string().into();
        }
        Response::builder().status(status).body(body.into()).expect("a response")
    }

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(forward).with_state(proxy)).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "what the terminal shows is printed")]
async fn person_talks_at_a_prompt() {
    let stack = Stack::shared();
    let tenant = stack.tenant("talk").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let python = python_from("talk", &folder.join("talk-requirements.txt")).join("python");
    let mut person = Command::new(python);
    person.arg(folder.join("talk_terminal.py")).arg(program()).args([stack.rest_url(), &tenant.key, "u"]);
    person.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
    let output = spawn_blocking(move || person.output()).await.expect("it runs").expect("it starts");
    let shown = text(&output.stdout);
    println!("{shown}");
    assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
}
