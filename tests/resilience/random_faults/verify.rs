//! Compares the stored state with what the clients recorded.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Received, Socket, Stack, Tenant, eventually};

use super::{
    SLOTS,
    record::{Chat, Record},
};

pub(super) struct Verification<'a> {
    pub(super) stack: &'a Stack,
    pub(super) tenant: &'a Tenant,
    pub(super) record: &'a Record,
}

impl Verification<'_> {
    pub(super) async fn run(self) {
        for chat in &self.record.chats {
            self.chat_matches(chat).await;
        }
        self.chat_counts_match().await;
        self.failures_are_logged_once();
        join_all(self.existing_chats().map(|chat| self.chat_accepts_messages(chat))).await;
        self.all_slots_are_free().await;
    }

    fn existing_chats(&self) -> impl Iterator<Item = &Chat> {
        self.record.chats.iter().filter(|chat| !chat.deleted)
    }

    async fn chat_matches(&self, chat: &Chat) {
        let read = self.tenant.get(&format!("/api/v1/chats/{}", chat.id)).await;
        if chat.deleted {
            return assert_eq!(read.code(), "CHAT_NOT_FOUND");
        }
        assert_eq!(read.body["title"], json!(chat.title));
        let messages = self.messages(chat).await;
        assert_eq!(read.body["message_count"], messages.len());
        for (seq, message) in messages.iter().enumerate() {
            assert_eq!(message["seq"], seq, "no gap in seq: {messages:#?}");
        }
        for (client_id, received) in &chat.received {
            let stored: Vec<&Value> =
                messages.iter().filter(|m| m["client_message_id"] == client_id.as_str()).collect();
            let [stored] = stored[..] else { panic!("{client_id} is stored {} times: {messages:#?}", stored.len()) };
            for field in ["message_id", "seq", "content"] {
                assert_eq!(stored[field], received[field]);
            }
            let answers = messages.iter().filter(|message| message["in_reply_to"] == stored["message_id"]).count();
            assert_eq!(answers, 1, "each message has one answer: {messages:#?}");
        }
        assert_eq!(messages.len(), 2 * chat.received.len(), "no duplicate: {messages:#?}");
        for (id, end) in &chat.ended {
            let stored = messages.iter().find(|message| message["message_id"] == id.as_str()).expect("it is stored");
            let (status, reason) = (stored["status"].as_str(), end["finish_reason"].as_str());
            let agrees = match reason {
                Some("stop") => status == Some("complete"),
                Some("cancelled") => status == Some("cancelled"),
                _ => matches!(status, Some("failed" | "interrupted")),
            };
            assert!(agrees && stored["content"] == end["content"], "event {end}, stored {stored}");
        }
    }

    async fn messages(&self, chat: &Chat) -> Vec<Value> {
        let listed = self.tenant.get(&format!("/api/v1/chats/{}/messages?limit=200", chat.id)).await.body;
        let messages = listed["messages"].as_array().expect("messages").clone();
        assert_eq!(listed["total"], messages.len());
        messages
    }

    /// Every user has the recorded chats, and no other.
    async fn chat_counts_match(&self) {
        let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for chat in &self.record.chats {
            let chats = users.entry(&chat.user).or_default();
            chats.extend((!chat.deleted).then_some(chat.id.as_str()));
        }
        for (user, mut chats) in users {
            let listed = self.tenant.get(&format!("/api/v1/chats/user/{user}?limit=200")).await.body;
            let listed_chats = listed["chats"].as_array().expect("chats");
            let mut found: Vec<&str> =
                listed_chats.iter().map(|chat| chat["chat_id"].as_str().expect("an id")).collect();
            chats.sort_unstable();
            found.sort_unstable();
            assert_eq!((found, &listed["total"]), (chats.clone(), &json!(chats.len())), "{user}");
        }
    }

    /// Each failed request has one line with its code and one with its cause. No request failed with `INTERNAL`.
    fn failures_are_logged_once(&self) {
        let log: Vec<Value> = self.stack.functions().into_iter().flat_map(|name| self.stack.log_of(name)).collect();
        let mut lines: HashMap<&str, Vec<&str>> = HashMap::new();
        for line in &log {
            assert!(line["error.code"] != "INTERNAL" && line["message"] != "panicked", "{line}");
            if let (Some(request), Some(message)) = (line["request_id"].as_str(), line["message"].as_str()) {
                lines.entry(request).or_default().push(message);
            }
        }
        for request in &self.record.failed {
            let count = |message: &str| {
                let lines = lines.get(request.as_str()).into_iter().flatten();
                lines.filter(|line| **line == message).count()
            };
            assert_eq!((count("request completed"), count("request failed")), (1, 1), "request {request}");
        }
    }

    /// A new message is answered, at the latest when the leases of lost generations have expired.
    async fn chat_accepts_messages(&self, chat: &Chat) {
        // Lost slots take a while to return, and there may be more chats than slots.
        let mut opened = None;
        eventually("a socket opens", async || {
            opened = self.socket(chat).await.ok();
            opened.is_some()
        })
        .await;
        let mut socket = opened.expect("it is open");
        let mut attempts = 0;
        'send: loop {
            attempts += 1;
            socket.send(&json!({ "content": "and now", "client_message_id": "after-faults" })).await;
            loop {
                match socket.next_within(Duration::from_secs(30)).await {
                    Received::Event(event) if event["error"]["code"] == "GENERATION_IN_PROGRESS" && attempts < 40 => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue 'send;
                    }
                    Received::Event(event) if event["content"] == "You said: and now" => break 'send,
                    Received::Event(_) => {}
                    other => panic!("{} accepts no message: {other:?}", chat.id),
                }
            }
        }
        eventually("no generation is running and the last answer is complete", async || {
            let messages = self.messages(chat).await;
            messages.iter().all(|message| message["status"] != "streaming")
                && messages.last().is_some_and(|last| last["status"] == "complete")
        })
        .await;
        socket.close().await;
    }

    /// All slots are free again, and the limit is exact.
    async fn all_slots_are_free(&self) {
        let user = "after-faults".to_owned();
        let chat = &Chat { id: self.tenant.chat(&user).await, user, ..Chat::default() };
        let mut sockets = Vec::new();
        eventually("all sockets open", async || {
            match self.socket(chat).await {
                Ok(socket) => sockets.push(socket),
                Err(status) => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
            }
            sockets.len() == SLOTS as usize
        })
        .await;
        assert_eq!(self.socket(chat).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    }

    async fn socket(&self, chat: &Chat) -> Result<Socket, StatusCode> {
        let query = format!("api_key={}&user_id={}&chat_id={}", self.tenant.key, chat.user, chat.id);
        self.tenant.connect_with(&query, &[]).await
    }
}
