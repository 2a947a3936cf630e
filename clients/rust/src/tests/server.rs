//! The server's end of a chat.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use crate::{
    Chat, ChatError, Event, Frame, Socket,
    connection::Connection,
    event::{ActiveStream, ConnectionEstablished, ErrorEvent},
};

type Opened = Result<(Socket, ConnectionEstablished), ChatError>;

/// How long the tests' chats try to connect.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(120);
/// How long they wait for a message and an answer.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(180);
/// Longer than all waits of a chat: paused time passes at once.
const LONG: Duration = Duration::from_secs(10_000);

/// The attempts of a chat to connect.
pub(super) struct Server {
    attempts: mpsc::UnboundedReceiver<oneshot::Sender<Opened>>,
}

/// The server's end of one socket.
pub(super) struct Peer {
    frames: mpsc::UnboundedReceiver<Frame>,
    events: mpsc::Sender<Event>,
}

impl Server {
    /// A chat that connects to the test, with tickets or a key.
    pub(super) fn with_source(is_key: bool) -> (Chat, Self) {
        let (asked, attempts) = mpsc::unbounded_channel();
        let open = move || -> futures_util::future::BoxFuture<'static, Opened> {
            let (respond, response) = oneshot::channel();
            asked.send(respond).expect("the test runs");
            Box::pin(async { response.await.expect("the test responds") })
        };
        (Chat::with(Connection::with(Arc::new(open), is_key, GIVE_UP_AFTER), MESSAGE_TIMEOUT), Self { attempts })
    }

    /// A chat that is connected.
    pub(super) async fn chat() -> (Chat, Self, Peer) {
        let (chat, mut server) = Self::with_source(false);
        let peer = server.accept().await;
        (chat, server, peer)
    }

    /// Accepts the next attempt.
    pub(super) async fn accept(&mut self) -> Peer {
        self.accept_with(&[]).await
    }

    /// Accepts the next attempt, while answers stream.
    pub(super) async fn accept_with(&mut self, streams: &[ActiveStream]) -> Peer {
        self.accept_for("2026-11-23T06:58:10Z", streams).await
    }

    /// Accepts the next attempt until a time; it is 4:58.
    pub(super) async fn accept_for(&mut self, expires_at: &str, streams: &[ActiveStream]) -> Peer {
        let (socket, frames, events) = Socket::fake();
        let established = ConnectionEstablished {
            connection_id: "K4p5Ye3PIAMCJLw=".to_owned(),
            user_id: "u".to_owned(),
            expires_at: expires_at.to_owned(),
            active_streams: streams.to_vec(),
            chat_id: "chat_1".to_owned(),
            timestamp: "2026-11-23T04:58:10Z".to_owned(),
        };
        assert!(self.attempt().await.send(Ok((socket, established))).is_ok(), "the chat waits");
        Peer { frames, events }
    }

    /// Refuses the next attempt.
    pub(super) async fn refuse(&mut self, error: ChatError) {
        assert!(self.attempt().await.send(Err(error)).is_ok(), "the chat waits");
    }

    /// The next attempt, to be answered later.
    pub(super) async fn attempt(&mut self) -> oneshot::Sender<Opened> {
        timeout(LONG, self.attempts.recv()).await.expect("the chat connects").expect("the chat runs")
    }

    /// Whether the chat does not try to connect within a time.
    pub(super) async fn is_left_alone(&mut self, time: Duration) -> bool {
        !matches!(timeout(time, self.attempts.recv()).await, Ok(Some(_)))
    }
}

impl Peer {
    /// The next frame.
    pub(super) async fn frame(&mut self) -> Frame {
        timeout(LONG, self.frames.recv()).await.expect("a frame").expect("the socket is open")
    }

    /// The next frame and when it came.
    pub(super) async fn timed_frame(&mut self) -> (Duration, Frame) {
        let start = Instant::now();
        let frame = self.frame().await;
        (start.elapsed(), frame)
    }

    /// Whether no frame comes within a time.
    pub(super) async fn is_silent(&mut self, time: Duration) -> bool {
        timeout(time, self.frames.recv()).await.is_err()
    }

    /// Whether the client has closed the socket, after the frames that it sent.
    pub(super) async fn is_closed(&mut self) -> bool {
        timeout(LONG, async { while self.frames.recv().await.is_some() {} }).await.is_ok()
    }

    /// The next message: its text and the client's id.
    pub(super) async fn message(&mut self) -> (String, String) {
        match self.frame().await {
            Frame::Message { content, client_message_id } => (content, client_message_id),
            other => panic!("not a message: {other:?}"),
        }
    }

    /// Sends an event of chat_1.
    pub(super) async fn send(&self, mut event: Value) {
        event["chat_id"] = json!("chat_1");
        event["timestamp"] = json!("2026-11-23T04:58:11Z");
        let event = serde_json::from_value(event).expect("an event");
        assert!(!matches!(event, Event::Unknown(ref fields) if fields["type"] != "unknown"), "{event:?}");
        self.events.send(event).await.expect("the socket is open");
    }

    /// Acknowledges a message as number `n`.
    pub(super) async fn receive(&self, n: u32, client_message_id: &str) {
        self.receive_again(n, client_message_id, None).await;
    }

    /// Acknowledges a message that may have an answer.
    pub(super) async fn receive_again(&self, n: u32, client_message_id: &str, answer: Option<&str>) {
        let mut event = json!({
            "type": "message_received", "message_id": format!("m{n}"), "seq": 2 * n, "content": "…",
            "client_message_id": client_message_id,
        });
        if let Some(answer) = answer {
            event["answer_id"] = json!(answer);
        }
        self.send(event).await;
    }

    /// Starts answer `an` to message `mn`.
    pub(super) async fn start(&self, n: u32) {
        self.send(json!({
            "type": "message_stream_started", "message_id": format!("a{n}"), "seq": 2 * n + 1,
            "in_reply_to": format!("m{n}"), "model": "echo",
        }))
        .await;
    }

    /// Sends a part of answer `an`.
    pub(super) async fn part(&self, n: u32, offset: usize, token: &str) {
        self.send(json!({
            "type": "message_stream_token", "message_id": format!("a{n}"), "offset": offset,
            "next_offset": offset + token.len(), "token": token,
        }))
        .await;
    }

    /// Ends answer `an`.
    pub(super) async fn end(&self, n: u32, finish_reason: &str, content: Option<&str>) {
        let mut event = json!({
            "type": "message_stream_ended", "message_id": format!("a{n}"), "finish_reason": finish_reason,
            "usage": { "input_tokens": 1, "output_tokens": 2 }, "timing": { "first_token_ms": 3, "total_ms": 4 },
        });
        match content {
            Some(content) => event["content"] = json!(content),
            None => event["content_omitted"] = json!(true),
        }
        self.send(event).await;
    }

    /// Sends an error, which may belong to an answer.
    pub(super) async fn fail(&self, code: &str, details: Value, message_id: Option<&str>) {
        let mut event = error_event(code, details);
        if let Some(message_id) = message_id {
            event["message_id"] = json!(message_id);
        }
        self.send(event).await;
    }

    /// Closes the socket.
    pub(super) fn close(self) {}
}

fn error_event(code: &str, details: Value) -> Value {
    json!({
        "type": "error", "request_id": "r", "timestamp": "2026-11-23T04:58:11Z",
        "error": { "code": code, "message": format!("{code} it is."), "details": details },
    })
}

/// An error as the server sends it.
pub(super) fn error(code: &str, details: Value) -> ChatError {
    serde_json::from_value::<ErrorEvent>(error_event(code, details)).expect("an error").into()
}

/// An answer as a new socket lists it.
pub(super) fn stream(n: u32) -> ActiveStream {
    let (message_id, in_reply_to) = (format!("a{n}"), format!("m{n}"));
    ActiveStream { message_id, seq: 2 * n + 1, in_reply_to, replaces: None }
}

pub(super) fn resume(message_id: &str, offset: usize) -> Frame {
    Frame::Resume { message_id: message_id.to_owned(), offset }
}

pub(super) fn cancel(message_id: &str) -> Frame {
    Frame::Cancel { message_id: message_id.to_owned() }
}
