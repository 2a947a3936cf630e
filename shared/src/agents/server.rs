//! A provider whose every byte is written by a test.

use std::time::Duration;

use futures_util::StreamExt;
use http::Uri;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{Agent, Conversation, Delta, Deltas, Failure, Turn};
use crate::{
    domain::{
        chat::ChatConfig,
        message::{FinishReason, Role, Usage},
    },
    generation,
    runtime::telemetry::{self, RequestEnd, RequestStart, Trace},
};

/// A server that sends `pieces` to whoever asks, each in a segment of its own, and then hangs up.
pub(super) struct Server {
    /// Where it is.
    pub(super) url: Uri,
    /// The requests, as they came.
    pub(super) asked: mpsc::UnboundedReceiver<String>,
}

impl Server {
    pub(super) async fn start(pieces: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (asked_by, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = asked_by.send(request(&mut socket).await);
                for piece in &pieces {
                    socket.write_all(piece).await.expect("the client reads");
                    socket.flush().await.expect("the client reads");
                    // Lets the client read this piece before the next one is there.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        Self { url: format!("http://{address}").parse().expect("an address"), asked }
    }
}

/// Reads a whole request.
pub(super) async fn request(socket: &mut TcpStream) -> String {
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

/// The head of a streamed answer and the pieces of its body, with its end.
pub(super) fn streamed<P: AsRef<[u8]>>(kind: &str, pieces: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let mut all = cut_off(kind, pieces);
    all.push(b"0\r\n\r\n".to_vec());
    all
}

/// The same without an end.
pub(super) fn cut_off<P: AsRef<[u8]>>(kind: &str, pieces: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunks = pieces.into_iter().map(|piece| {
        let piece = piece.as_ref();
        [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
    });
    [head.into_bytes()].into_iter().chain(chunks).collect()
}

/// An answer that is none.
pub(super) fn refusal(status: &str, headers: &str, body: &Value) -> Vec<Vec<u8>> {
    let body = body.to_string();
    vec![
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
            .into_bytes(),
    ]
}

/// What an answer came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) usage: Option<Usage>,
    pub(super) failure: Option<Failure>,
}

/// Says hello to an agent.
pub(super) async fn ask(agent: &impl Agent) -> Heard {
    hear(hello(agent)).await
}

/// The same for a request that is part of a trace, before anyone hears the answer.
pub(super) async fn ask_traced(agent: &impl Agent, trace: &str) -> Heard {
    let asked = RequestStart { request_id: String::new(), route: String::new(), trace: Trace::parse(trace) };
    let answer = telemetry::log_request(asked, async {
        (generation::prefetch(hello(agent)), RequestEnd { status: 200, code: None })
    });
    hear(answer.await).await
}

fn hello(agent: &impl Agent) -> Deltas {
    let turns = vec![Turn { role: Role::User, content: "Hello".to_owned() }];
    agent.answer(Conversation { turns, config: ChatConfig::default() })
}

async fn hear(mut answer: Deltas) -> Heard {
    let mut heard = Heard::default();
    while let Some(delta) = answer.next().await {
        match delta {
            Ok(Delta { content, finish_reason, usage }) => {
                heard.text.push_str(&content);
                heard.finish_reason = finish_reason.or(heard.finish_reason);
                heard.usage = usage.or(heard.usage);
            }
            Err(error) => heard.failure = Some(error.failure()),
        }
    }
    heard
}
