//! What is left after a storm, held against what clients were told.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Heard, Socket, Stack, Tenant, eventually};

use super::{
    SOCKETS,
    ledger::{Chat, Ledger},
};

pub(super) struct Aftermath<'a> {
    pub(super) stack: &'a Stack,
    pub(super) tenant: &'a Tenant,
    pub(super) ledger: &'a Ledger,
}

impl Aftermath<'_> {
    pub(super) async fn inspect(self) {
        for chat in &self.ledger.chats {
            self.all_that_was_told_is_there(chat).await;
        }
        self.chats_are_counted().await;
        self.failures_are_logged_once();
        join_all(self.standing().map(|chat| self.chat_goes_on(chat))).await;
        self.all_sockets_may_open().await;
    }

    fn standing(&self) -> impl Iterator<Item = &Chat> {
        self.ledger.chats.iter().filter(|chat| !chat.deleted)
    }

    async fn all_that_was_told_is_there(&self, chat: &Chat) {
        let read = self.tenant.get(&format!("/api/v1/chats/{}", chat.id)).await;
        if chat.deleted {
            return assert_eq!(read.code(), "CHAT_NOT_FOUND");
        }
        assert_eq!(read.body["title"], json!(chat.title));
        let messages = self.messages(chat).await;
        assert_eq!(read.body["message_count"], messages.len());
        for (seq, message) in messages.iter().enumerate() {
            assert_eq!(message["seq"], seq, "no number is left out: {messages:#?}");
        }
        for (client_id, received) in &chat.received {
            let stored: Vec<&Value> =
                messages.iter().filter(|m| m["client_message_id"] == client_id.as_str()).collect();
            let [stored] = stored[..] else { panic!("{client_id} is there {} times: {messages:#?}", stored.len()) };
            for field in ["message_id", "seq", "content"] {
                assert_eq!(stored[field], received[field]);
            }
            let answers = messages.iter().filter(|message| message["in_reply_to"] == stored["message_id"]).count();
            assert_eq!(answers, 1, "each message has one answer: {messages:#?}");
        }
        assert_eq!(messages.len(), 2 * chat.received.len(), "nothing is there twice: {messages:#?}");
        for (id, end) in &chat.ended {
            let stored = messages.iter().find(|message| message["message_id"] == id.as_str()).expect("it is stored");
            let (status, reason) = (stored["status"].as_str(), end["finish_reason"].as_str());
            let agrees = match reason {
                Some("stop") => status == Some("complete"),
                Some("cancelled") => status == Some("cancelled"),
                _ => matches!(status, Some("failed" | "interrupted")),
            };
            assert!(agrees && stored["content"] == end["content"], "told {end}, but stored {stored}");
        }
    }

    async fn messages(&self, chat: &Chat) -> Vec<Value> {
        let listed = self.tenant.get(&format!("/api/v1/chats/{}/messages?limit=200", chat.id)).await.body;
        let messages = listed["messages"].as_array().expect("messages").clone();
        assert_eq!(listed["total"], messages.len());
        messages
    }

    /// Every user has the chats that they were told of, and no other.
    async fn chats_are_counted(&self) {
        let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for chat in &self.ledger.chats {
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

    /// Each request that failed left one line that says so, and one with its cause; none failed by a mistake of ours.
    fn failures_are_logged_once(&self) {
        let log: Vec<Value> = self.stack.functions().into_iter().flat_map(|name| self.stack.log_of(name)).collect();
        let mut lines: HashMap<&str, Vec<&str>> = HashMap::new();
        for line in &log {
            assert!(line["error.code"] != "INTERNAL" && line["message"] != "panicked", "{line}");
            if let (Some(request), Some(message)) = (line["request_id"].as_str(), line["message"].as_str()) {
                lines.entry(request).or_default().push(message);
            }
        }
        for request in &self.ledger.refused {
            let said = |message: &str| {
                let lines = lines.get(request.as_str()).into_iter().flatten();
                lines.filter(|said| **said == message).count()
            };
            assert_eq!((said("answered"), said("request failed")), (1, 1), "request {request}");
        }
    }

    /// Whatever was left half done in the chat, a new message is answered: at the latest when the leases have lapsed.
    async fn chat_goes_on(&self, chat: &Chat) {
        // Leases that got lost may be missed at first, and there may be more chats than sockets.
        let mut opened = None;
        eventually("a socket may open", async || {
            opened = self.socket(chat).await.ok();
            opened.is_some()
        })
        .await;
        let mut socket = opened.expect("it is open");
        let mut tries = 0;
        'send: loop {
            tries += 1;
            socket.send(&json!({ "content": "and now", "client_message_id": "afterwards" })).await;
            loop {
                match socket.next_within(Duration::from_secs(30)).await {
                    Heard::Event(event) if event["error"]["code"] == "GENERATION_IN_PROGRESS" && tries < 40 => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue 'send;
                    }
                    Heard::Event(event) if event["content"] == "You said: and now" => break 'send,
                    Heard::Event(_) => {}
                    silence => panic!("{} does not go on: {silence:?}", chat.id),
                }
            }
        }
        eventually("no answer runs any more, and the last one is whole", async || {
            let messages = self.messages(chat).await;
            messages.iter().all(|message| message["status"] != "streaming")
                && messages.last().is_some_and(|last| last["status"] == "complete")
        })
        .await;
        socket.close().await;
    }

    /// However many leases were lost: as many sockets may open as ever, and no more.
    async fn all_sockets_may_open(&self) {
        let user = "after-the-storm".to_owned();
        let chat = &Chat { id: self.tenant.chat(&user).await, user, ..Chat::default() };
        let mut sockets = Vec::new();
        eventually("all sockets are open", async || {
            match self.socket(chat).await {
                Ok(socket) => sockets.push(socket),
                Err(status) => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
            }
            sockets.len() == SOCKETS as usize
        })
        .await;
        assert_eq!(self.socket(chat).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    }

    async fn socket(&self, chat: &Chat) -> Result<Socket, StatusCode> {
        let query = format!("api_key={}&user_id={}&chat_id={}", self.tenant.key, chat.user, chat.id);
        self.tenant.connect_with(&query, &[]).await
    }
}
