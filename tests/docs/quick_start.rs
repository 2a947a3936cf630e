//! The quick start of the README and the overview, as a other runs it: curl, and a WebSocket client in another
//! language.

use std::time::Duration;

use serde_json::{Value, json};
use tests::Stack;
use tokio::process::Command;

/// The three steps, word for word but for the address.
#[tokio::test]
async fn works_word_for_word_with_curl_and_a_websocket() {
    let stack = Stack::shared();
    let base = stack.rest_url();
    let create = format!(
        r#"curl -sS -X POST "{base}/api/v1/chats/" \
  -H "X-API-Key: your-tenant-api-key" \
  -H "Content-Type: application/json" \
  -d '{{"user_id": "user123"}}'"#
    );
    let output = Command::new("sh").args(["-c", &create]).output();
    let output = tokio::time::timeout(Duration::from_secs(30), output).await.expect("curl ends").expect("curl runs");
    let chat: Value = serde_json::from_slice(&output.stdout).expect("a chat");
    let chat_id = chat["chat_id"].as_str().expect("an id");

    let demo = stack.tenant("quick start").await.with_key("your-tenant-api-key");
    let query = format!("api_key=your-tenant-api-key&user_id=user123&chat_id={chat_id}");
    let mut socket = demo.connect_with(&query, &[]).await.expect("a handshake");
    socket.send(&json!({ "content": "Hello, I need help with my account" })).await;
    let ended = socket.next_of("message_stream_ended").await;
    assert_eq!(ended["content"], "You said: Hello, I need help with my account");

    let listed = demo.get(&format!("/api/v1/chats/{chat_id}/messages")).await.body;
    assert_eq!((&listed["total"], &listed["messages"][1]["content"]), (&2.into(), &ended["content"]));
    assert_eq!(demo.delete(&format!("/api/v1/chats/{chat_id}")).await.status.as_u16(), 204);
}

mod black_box {
    use std::{process::Stdio, time::Duration};

    use tests::Api;
    use tokio::process::Command;

    /// A client that nobody here wrote: Python's `websockets`.
    #[tokio::test]
    async fn works_with_a_websocket_client_from_elsewhere() {
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
        let client = Command::new(python).args(["-c", script, &url]).stdin(Stdio::null()).kill_on_drop(true).output();
        let output =
            tokio::time::timeout(Duration::from_secs(60), client).await.expect("it ends").expect("python runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(stdout, "You said: Hello from Python", "{stderr}");
    }
}
