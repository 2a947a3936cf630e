//! A client that uses every operation, with pauses.

use std::{
    fmt::{Display, Formatter, Result},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Random, Socket, Tenant};

/// Messages in a chat before the client creates another.
const MESSAGES: usize = 8;

const CONTENT: &str = "Tell me once more, and take your time: how does all of this hang together, what comes first and \
                       what comes last, and why is the one before the other? 東京 👩‍👩‍👧";

pub(super) struct LoadClient {
    tenant: Tenant,
    user: String,
    random: Random,
    over: Arc<AtomicBool>,
    pub(super) counts: Counts,
}

/// How often each thing was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    chats: usize,
    messages: usize,
    cancelled: usize,
    resumed: usize,
    regenerated: usize,
}

impl LoadClient {
    pub(super) fn new(tenant: Tenant, number: u64, over: Arc<AtomicBool>) -> Self {
        Self { tenant, user: format!("user-{number}"), random: Random::new(number), over, counts: Counts::default() }
    }

    /// Runs until `over`.
    pub(super) async fn run(&mut self) {
        while !self.over.load(Ordering::Relaxed) {
            let body = json!({ "user_id": self.user, "config": { "model": "echo@25" } });
            let chat = self.tenant.chat_with(&body).await;
            self.counts.chats += 1;
            let mut socket = self.connect(&chat).await;
            for _ in 0..MESSAGES {
                // The time to read and write.
                tokio::time::sleep(Duration::from_millis(2_000 + self.random.below(6_000))).await;
                if self.over.load(Ordering::Relaxed) {
                    break;
                }
                self.exchange(&mut socket, &chat).await;
            }
            self.read_and_delete(socket, &chat).await;
        }
    }

    async fn exchange(&mut self, socket: &mut Socket, chat: &str) {
        self.counts.messages += 1;
        socket.send(&json!({ "content": CONTENT })).await;
        let message_id = socket.next_of("message_stream_started").await["message_id"].clone();
        match self.random.below(10) {
            0 => {
                socket.next_of("message_stream_token").await;
                socket.send(&json!({ "type": "cancel", "message_id": message_id })).await;
                self.counts.cancelled += 1;
            }
            1 => {
                let offset = socket.next_of("message_stream_token").await["next_offset"].clone();
                *socket = self.connect(chat).await;
                socket.send(&json!({ "type": "resume", "message_id": message_id, "offset": offset })).await;
                self.counts.resumed += 1;
            }
            2 => {
                until_end(socket, &message_id).await;
                socket.send(&json!({ "type": "ping" })).await;
                socket.next_of("pong").await;
                // The end is sent before the generation leaves the list of running ones.
                tokio::time::sleep(Duration::from_millis(500)).await;
                socket.send(&json!({ "type": "regenerate", "message_id": message_id })).await;
                let message_id = socket.next_of("message_stream_started").await["message_id"].clone();
                self.counts.regenerated += 1;
                return until_end(socket, &message_id).await;
            }
            _ => {}
        }
        until_end(socket, &message_id).await;
    }

    async fn connect(&mut self, chat: &str) -> Socket {
        if self.random.below(2) == 0 {
            return self.tenant.connect(chat, &self.user).await;
        }
        let created = self.tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await;
        let query = format!("ticket={}", created.body["ticket"].as_str().expect("a ticket"));
        self.tenant.connect_with(&query, &[]).await.expect("the handshake succeeds")
    }

    async fn read_and_delete(&mut self, mut socket: Socket, chat: &str) {
        let path = format!("/api/v1/chats/{chat}");
        let tenant = &self.tenant;
        assert_eq!(tenant.get(&path).await.status, StatusCode::OK);
        assert_eq!(tenant.get(&format!("{path}/messages")).await.status, StatusCode::OK);
        assert_eq!(tenant.get(&format!("/api/v1/chats/user/{}", self.user)).await.status, StatusCode::OK);
        let change = tenant.request(Method::PATCH, &path).json(&json!({ "title": "Changed" }));
        assert_eq!(tenant.send(change).await.status, StatusCode::OK);
        assert_eq!(tenant.delete(&path).await.status, StatusCode::NO_CONTENT);
        socket.closed().await;
    }
}

async fn until_end(socket: &mut Socket, message_id: &Value) {
    while socket.next_of("message_stream_ended").await["message_id"] != *message_id {}
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            chats: self.chats + other.chats,
            messages: self.messages + other.messages,
            cancelled: self.cancelled + other.cancelled,
            resumed: self.resumed + other.resumed,
            regenerated: self.regenerated + other.regenerated,
        }
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { chats, messages, cancelled, resumed, regenerated } = self;
        write!(
            f,
            "{chats} chats, {messages} messages, of their answers {cancelled} cancelled, {resumed} resumed on another socket, \
             {regenerated} regenerated"
        )
    }
}
