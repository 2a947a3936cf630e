//! The quick start of the README, and a WebSocket client in another language.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use serde_json::Value;
use tests::{Document, Stack, node, replace};
use tokio::process::Command;

/// Runs a program; returns its output.
async fn output(command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends");
    let output = output.expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout.into_owned()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The event types in lines of JSON; several tokens count once.
fn event_types(lines: &str) -> Vec<&str> {
    let types = lines.lines().filter_map(|line| line.strip_prefix(r#"{"type":""#)?.split('"').next());
    let mut types: Vec<&str> = types.collect();
    types.dedup();
    types
}

#[tokio::test]
async fn quick_start_of_the_readme_works_as_written() {
    let stack = Stack::shared();
    let page = Document::read("README.md").section("## Quick start");
    let [create] = &page.blocks("sh")[..] else { panic!("one command creates the chat") };
    let [connect, send] = &page.blocks("js")[..] else { panic!("one block connects and one sends") };
    let [shown_chat] = &page.blocks("json")[..] else { panic!("one block shows the chat") };
    let [shown_events] = &page.blocks("")[..] else { panic!("one block shows the events") };

    let script = replace(create, "http://localhost:8000", stack.rest_url());
    let script = script.replace("curl ", "curl --fail-with-body --silent --show-error ");
    let created: Value = serde_json::from_str(&output(Command::new("sh").args(["-c", &script])).await).expect("JSON");
    let shown: Value = serde_json::from_str(shown_chat).expect("JSON");
    assert_eq!((keys(&created), keys(&created["config"])), (keys(&shown), keys(&shown["config"])));

    let connect = replace(connect, "ws://localhost:8000/ws/chat", stack.websocket_url());
    let connect = replace(&connect, "your-chat-id", created["chat_id"].as_str().expect("an id"));
    let script = format!(
        r#"{connect}
        ws.addEventListener("open", () => {{ {send} }});
        ws.addEventListener("message", ({{ data }}) => {{
          if (JSON.parse(data).type === "message_stream_ended") ws.close();
        }});"#
    );
    let printed = output(Command::new(node()).args(["--experimental-websocket", "--no-warnings", "-e", &script])).await;
    assert_eq!(event_types(&printed), event_types(shown_events), "{printed}");
    assert!(printed.contains("You said: Hello, I need help with my account"), "{printed}");
}

mod black_box {
    use tests::Api;
    use tokio::process::Command;

    use super::output;

    /// Python's `websockets`.
    #[tokio::test]
    async fn websocket_client_in_python_works() {
        let api = Api::shared();
        let tenant = api.tenant("python").await;
        let chat = tenant.chat("user123").await;
        let url = format!("{}?api_key={}&user_id=user123&chat_id={chat}", api.websocket_url(), tenant.key);
        let script = r#"
import json, sys
from websockets.sync.client import connect
with connect(sys.argv[1]) as socket:
    socket.send(json.dumps({"content": "Hello from Python"}))
    for text in socket:
        event = json.loads(text)
        if event["type"] == "message_stream_token":
            print(event["token"], end="")
        if event["type"] == "message_stream_ended":
            break
"#;
        let python = tests::python_with("websockets", "15.0.1").join("python");
        assert_eq!(output(Command::new(python).args(["-c", script, &url])).await, "You said: Hello from Python");
    }
}
