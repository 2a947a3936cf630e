//! A tenant that stays within its limits.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::domain::id::MessageId;
use tests::{Socket, Tenant};
use tokio::time::Instant;

/// How many of its cycles create and delete a chat: one of these.
const DELETING_CYCLES: usize = 5;

/// A tenant with one chat and socket. Any error fails its test.
#[derive(Clone, Debug)]
pub(super) struct BehavingTenant {
    pub(super) tenant: Tenant,
    chat: String,
}

impl BehavingTenant {
    pub(super) async fn new(tenant: Tenant) -> Self {
        let chat = tenant.chat("u").await;
        Self { tenant, chat }
    }

    /// Sends a message and reads over REST, once in `pace` until `end`. Returns the median time to the first token.
    pub(super) async fn run(self, pace: Duration, end: Instant) -> Duration {
        let mut socket = self.tenant.connect(&self.chat, "u").await;
        let mut times = Vec::new();
        while times.is_empty() || Instant::now() < end {
            let next = Instant::now() + pace;
            times.push(Self::first_token(&mut socket).await);
            self.read().await;
            if times.len() % DELETING_CYCLES == 1 {
                self.create_and_delete().await;
            }
            tokio::time::sleep_until(next.min(end)).await;
        }
        socket.close().await;
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Sends a message and reads its answer. An event that was posted twice, as after a lost response, belongs to an earlier
    /// answer, and does not count.
    async fn first_token(socket: &mut Socket) -> Duration {
        let client_id = MessageId::generate().to_string();
        let sent = Instant::now();
        socket.send(&json!({ "content": "How long does it take?", "client_message_id": client_id })).await;
        let (mut message, mut answer, mut first) = (Value::Null, Value::Null, None);
        loop {
            let event = socket.next().await;
            assert_ne!(event["type"], "error", "{event}");
            match event["type"].as_str() {
                Some("message_received") if event["client_message_id"] == client_id.as_str() => {
                    message = event["message_id"].clone();
                }
                Some("message_stream_started") if event["in_reply_to"] == message => {
                    answer = event["message_id"].clone();
                }
                _ if event["message_id"] != answer => {}
                Some("message_stream_token") => _ = first.get_or_insert_with(|| sent.elapsed()),
                Some("message_stream_ended") => return first.expect("tokens come before the end"),
                _ => {}
            }
        }
    }

    async fn read(&self) {
        let path = format!("/api/v1/chats/{}/messages?limit=10&order=desc", self.chat);
        let response = self.tenant.get(&path).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    }

    async fn create_and_delete(&self) {
        let chat = self.tenant.chat("u").await;
        let response = self.tenant.delete(&format!("/api/v1/chats/{chat}")).await;
        assert_eq!(response.status, StatusCode::NO_CONTENT, "{}", response.body);
    }
}
