//! A provider whose every byte a test writes.

use std::time::Duration;

use futures_util::StreamExt;
use http::Uri;
use serde_json::Value;
use shared::{
    agents::{Agent, Conversation, Delta, Deltas, Failure, Turn},
    domain::{
        chat::ChatConfig,
        message::{FinishReason, Role, Usage},
    },
    generation,
    runtime::telemetry::{self, RequestEnd, RequestStart, Trace},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A server that sends the same segments to each client, one TCP segment each, and then closes the connection.
pub(crate) struct Provider {
    pub(crate) url: Uri,
    /// The requests, as they came.
    pub(crate) requests: mpsc::UnboundedReceiver<String>,
}

impl Provider {
    pub(crate) async fn start(segments: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = sender.send(read_request(&mut socket).await);
                for segment in &segments {
                    socket.write_all(segment).await.expect("the client reads");
                    socket.flush().await.expect("the client reads");
                    // Lets the client read this segment before the next one arrives.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        Self { url: format!("http://{address}").parse().expect("an address"), requests }
    }

    /// How many requests came since the last call.
    pub(crate) fn count_requests(&mut self) -> usize {
        std::iter::from_fn(|| self.requests.try_recv().ok()).count()
    }
}

/// Reads a whole request.
pub(crate) async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.split("\r\n").next().and_then(|length| length.parse().ok()).unwrap_or(0));
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// A chunked response with its end.
pub(crate) fn streamed<P: AsRef<[u8]>>(content_type: &str, parts: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let mut segments = cut_off(content_type, parts);
    segments.push(b"0\r\n\r\n".to_vec());
    segments
}

/// A chunked response without its end.
pub(crate) fn cut_off<P: AsRef<[u8]>>(content_type: &str, parts: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    let parts = parts.into_iter().map(|part| {
        let part = part.as_ref();
        [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()
    });
    [head.into_bytes()].into_iter().chain(parts).collect()
}

/// An error response.
pub(crate) fn refusal(status: &str, headers: &str, body: &Value) -> Vec<Vec<u8>> {
    let body = body.to_string();
    vec![
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
            .into_bytes(),
    ]
}

/// What an agent streamed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Response {
    pub(crate) text: String,
    pub(crate) finish_reason: Option<FinishReason>,
    pub(crate) usage: Option<Usage>,
    pub(crate) failure: Option<Failure>,
}

/// Sends a conversation to an agent and collects its response.
pub(crate) async fn respond(agent: &impl Agent) -> Response {
    collect(hello(agent)).await
}

/// As [`respond`], in a request with a trace; the deltas are read after the request has ended.
pub(crate) async fn respond_traced(agent: &impl Agent, trace: &str) -> Response {
    let start = RequestStart { request_id: String::new(), route: String::new(), trace: Trace::parse(trace) };
    let deltas = telemetry::log_request(start, async {
        (generation::prefetch(hello(agent)), RequestEnd { status: 200, code: None })
    });
    collect(deltas.await).await
}

fn hello(agent: &impl Agent) -> Deltas {
    let turns = vec![Turn { role: Role::User, content: "Hello".to_owned() }];
    agent.respond(Conversation { turns, config: ChatConfig::default() })
}

async fn collect(mut deltas: Deltas) -> Response {
    let mut response = Response::default();
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(Delta { content, finish_reason, usage }) => {
                response.text.push_str(&content);
                response.finish_reason = finish_reason.or(response.finish_reason);
                response.usage = usage.or(response.usage);
            }
            Err(error) => response.failure = Some(error.failure()),
        }
    }
    response
}
