//! What is printed once the stack is ready.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::{
    local_stack::{DEFAULT_PORT, DEMO_API_KEY},
    terminal::{Colour, Terminal},
};

/// The path of the WebSocket API.
pub(super) const WEBSOCKET_PATH: &str = "/ws/chat";

/// A stack that is ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) port: u16,
    pub(super) invoke_port: u16,
    pub(super) dynamodb_endpoint: String,
    /// The default agent, for people.
    pub(super) agent: String,
    /// Where the data is, for people.
    pub(super) data: String,
    /// Where the logs are, for people.
    pub(super) logs: String,
    /// The absolute path of the logs.
    pub(super) logs_path: String,
    pub(super) tables: Vec<String>,
    /// Process ids of the functions, unless the emulator runs them.
    pub(super) functions: Option<BTreeMap<String, i32>>,
    pub(super) took: Duration,
}

impl Ready {
    /// Prints it for people, and as an event for programs.
    pub(super) fn announce(&self, terminal: &Terminal) {
        let bold = |text: &str| terminal.paint(Colour::Bold, text);
        let dim = |text: &str| terminal.paint(Colour::Dim, text);
        let reload = match self.functions {
            None => "rebuilt when you save a source file",
            Some(_) => "not rebuilt on changes",
        };
        terminal.line(format_args!(
            "\n{title} {took}\n\n  \
             Playground {playground}\n  \
             Terminal   {talk}\n  \
             REST       {rest}\n  \
             WebSocket  {websocket}\n  \
             DynamoDB   {dynamodb} {data}\n  \
             Agent      {agent}\n  \
             Functions  http://localhost:{invoke} {reload}\n  \
             Logs       {logs}\n",
            title = bold("The Chat API is ready"),
            took = dim(&format!("({:.1} s)", self.took.as_secs_f64())),
            playground = bold(&format!("http://localhost:{}/", self.port)),
            talk = bold(&talk(self.port)),
            rest = bold(&format!("http://localhost:{}/api/v1/chats/", self.port)),
            websocket = bold(&format!("ws://localhost:{}{WEBSOCKET_PATH}", self.port)),
            dynamodb = self.dynamodb_endpoint,
            data = dim(&format!("({})", self.data)),
            agent = self.agent,
            invoke = self.invoke_port,
            reload = dim(&format!("({reload})")),
            logs = self.logs,
        ));
        terminal.line(quick_start(self.port, terminal));
        terminal.event(&json!({
            "event": "ready",
            "playground_url": format!("http://localhost:{}/", self.port),
            "rest_url": format!("http://127.0.0.1:{}", self.port),
            "websocket_url": format!("ws://127.0.0.1:{}{WEBSOCKET_PATH}", self.port),
            "management_endpoint": format!("http://127.0.0.1:{}", self.port),
            "invoke_endpoint": format!("http://127.0.0.1:{}", self.invoke_port),
            "dynamodb_endpoint": self.dynamodb_endpoint,
            "api_key": DEMO_API_KEY,
            "tables": self.tables,
            "functions": self.functions,
            "logs": self.logs_path,
            "pid": std::process::id(),
        }));
    }
}

/// The command to talk to the stack at this port.
fn talk(port: u16) -> String {
    match port {
        DEFAULT_PORT => "cargo chat talk".to_owned(),
        port => format!("cargo chat talk --url http://localhost:{port}"),
    }
}

/// The three steps of the README, with this stack's port.
fn quick_start(port: u16, terminal: &Terminal) -> String {
    let step = |text: &str| terminal.paint(Colour::Bold, text);
    let key = DEMO_API_KEY;
    format!(
        r#"{first}

curl -X POST "http://localhost:{port}/api/v1/chats/" \
  -H "X-API-Key: {key}" \
  -H "Content-Type: application/json" \
  -d '{{"user_id": "user123"}}'

{second}

const chatId = "your-chat-id"; // From step 1
const ws = new WebSocket(`ws://localhost:{port}{WEBSOCKET_PATH}?api_key={key}&user_id=user123&chat_id=${{chatId}}`);
ws.onmessage = (event) => console.log(event.data);

{third}

ws.send(JSON.stringify({{
  content: "Hello, I need help with my account"
}}));

{end}
"#,
        first = step("1. Create a chat"),
        second = step("2. Connect to it over WebSocket, in a browser's console or in `node` (22 or newer)"),
        third = step("3. Send a message, in the same console"),
        end = terminal.paint(Colour::Dim, "Ctrl-C stops the stack. Requests:"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_start_has_the_port_in_both_addresses() {
        let text = quick_start(8010, &Terminal::plain());
        assert!(text.contains(r#"curl -X POST "http://localhost:8010/api/v1/chats/" \"#), "{text}");
        assert!(
            text.contains(
                "`ws://localhost:8010/ws/chat?api_key=your-tenant-api-key&user_id=user123&chat_id=${chatId}`"
            ),
            "{text}"
        );
        assert!(text.contains(r#"-d '{"user_id": "user123"}'"#), "{text}");
    }
}
