//! The quick start of the README and the overview, as a stranger runs it: curl, and a WebSocket client in another
//! language.

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
    let output = tokio::time::timeout(Duration::from_secs(60), client).await.expect("it ends").expect("python runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "You said: Hello from Python", "{stderr}");
}
