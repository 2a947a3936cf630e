//! A client as it should be: it tries again what failed, under the same id, and believes what it is told.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::{Answer, Heard, Luck, Socket, Tenant};

use super::ledger::{Chat, Ledger};

/// How long a client waits for an event before it tries again. Nothing is asserted about it.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long it waits for an answer to go on: longer than a dead streamer's lease lasts.
const LONG_PATIENCE: Duration = Duration::from_secs(25);

/// A connection may say ten things a second.
const PAUSE: Duration = Duration::from_millis(150);

/// What the client says in each chat: so many messages.
const MESSAGES: usize = 3;

pub(super) struct Client {
    tenant: Tenant,
    user: String,
    luck: Luck,
    made: usize,
    pub(super) ledger: Ledger,
}

/// An answer as a socket hears it.
struct Hearing {
    message_id: String,
    text: String,
    /// The client has had enough. When that comes right after the answer's end, it is told the end once more, by someone
    /// else than the streamer: if posts fail just then, before the last tokens.
    cancelled: bool,
}

impl Client {
    pub(super) fn new(tenant: Tenant, seed: u64, number: u8) -> Self {
        let (user, luck) = (format!("user-{number}"), Luck::new(seed * 1_000 + u64::from(number)));
        Self { tenant, user, luck, made: 0, ledger: Ledger::default() }
    }

    /// Makes a chat, talks in it, looks at it, changes it, and perhaps deletes it.
    pub(super) async fn live_through_a_chat(&mut self) {
        let mut chat = self.create().await;
        let mut socket = self.connect(&chat.id).await;
        for number in 0..MESSAGES {
            let id = self.say(&mut socket, &mut chat, &format!("m{number}")).await;
            self.hear(&mut socket, &mut chat, &id).await;
        }
        let path = format!("/api/v1/chats/{}", chat.id);
        let title = format!("title {}", self.luck.below(1_000));
        let tenant = self.tenant.clone();
        let change = || tenant.request(Method::PATCH, &path).json(&json!({ "title": title }));
        let changed = self.insist("update-chat", change, &[StatusCode::OK]).await;
        assert_eq!(changed.body["title"], title.as_str());
        chat.title = Some(title);
        let read = self.insist("get-chat", || tenant.request(Method::GET, &path), &[StatusCode::OK]).await;
        assert_eq!(read.body["title"], changed.body["title"], "what was answered is there");
        let messages = format!("{path}/messages");
        let listed = self.insist("list-messages", || tenant.request(Method::GET, &messages), &[StatusCode::OK]).await;
        assert!(listed.body["total"].as_u64() >= Some(2 * chat.received.len() as u64), "{}", listed.body);
        if self.luck.below(3) == 0 {
            // Whoever asks again after a 503 may hear that the first time has done it.
            let fine = [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
            self.insist("delete-chat", || tenant.request(Method::DELETE, &path), &fine).await;
            chat.deleted = true;
        }
        let all = format!("/api/v1/chats/user/{}", self.user);
        self.insist("list-user-chats", || tenant.request(Method::GET, &all), &[StatusCode::OK]).await;
        self.ledger.chats.push(chat);
    }

    /// Sends a request until it is answered as it should be. Until then it is only ever told that the service is
    /// unavailable, by the function itself.
    async fn insist(
        &mut self,
        function: &'static str,
        request: impl Fn() -> RequestBuilder,
        fine: &[StatusCode],
    ) -> Answer {
        loop {
            let answer = self.tenant.send(request()).await;
            self.ledger.counts.answers += 1;
            let id =
                answer.headers.get("x-request-id").unwrap_or_else(|| panic!("not {function}'s answer: {answer:?}"));
            if fine.contains(&answer.status) {
                return answer;
            }
            assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"), "{answer:?}");
            self.ledger.counts.unavailable += 1;
            self.ledger.refused.push(id.to_str().expect("text").to_owned());
        }
    }

    async fn create(&mut self) -> Chat {
        self.made += 1;
        let (tenant, key) = (self.tenant.clone(), format!("{}-{}", self.user, self.made));
        let body = json!({ "user_id": self.user, "config": { "model": "echo@40" } });
        let create = || tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", &key).json(&body);
        let made = self.insist("create-chat", create, &[StatusCode::CREATED]).await;
        let again = self.insist("create-chat", create, &[StatusCode::CREATED]).await;
        assert_eq!(made.body, again.body, "the same key is the same chat");
        let id = made.body["chat_id"].as_str().expect("an id").to_owned();
        Chat { id, user: self.user.clone(), ..Chat::default() }
    }

    /// Opens a socket that is greeted, however often that takes.
    async fn connect(&mut self, chat: &str) -> Socket {
        loop {
            let with_ticket = self.luck.below(2) == 0;
            let query = if with_ticket {
                let (tenant, path) = (self.tenant.clone(), format!("/api/v1/chats/{chat}/tickets"));
                let made =
                    self.insist("create-ticket", || tenant.request(Method::POST, &path), &[StatusCode::CREATED]).await;
                format!("ticket={}", made.body["ticket"].as_str().expect("a ticket"))
            } else {
                format!("api_key={}&user_id={}&chat_id={chat}", self.tenant.key, self.user)
            };
            let handshake = self.tenant.connect_with(&query, &[]).await;
            self.ledger.counts.handshakes += 1;
            match handshake {
                Ok(mut socket) => match socket.next_within(3 * PATIENCE).await {
                    Heard::Event(event) if event["type"] == "connection_established" => return socket,
                    Heard::Event(event) => assert_eq!(event["error"]["code"], "UNAVAILABLE", "{event}"),
                    Heard::Nothing | Heard::Closed => {}
                },
                // A ticket may be used up by an attempt whose answer was lost; leases may take a moment to come back.
                Err(status) => {
                    let used_up = with_ticket && status == StatusCode::UNAUTHORIZED;
                    let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                    assert!(used_up || busy, "a handshake refused with {status}");
                    self.ledger.counts.refused_handshakes += 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            self.ledger.counts.ungreeted += 1;
        }
    }

    /// Says something until it is acknowledged. Returns the message's id.
    async fn say(&mut self, socket: &mut Socket, chat: &mut Chat, client_id: &str) -> String {
        let content = format!("{client_id} of {}: one two three four five six seven eight nine ten 👩‍👩‍👧", self.user);
        let frame = json!({ "content": content, "client_message_id": client_id });
        loop {
            tokio::time::sleep(PAUSE).await;
            self.ledger.counts.sent += 1;
            if !socket.try_send(&frame).await {
                *socket = self.connect(&chat.id).await;
                continue;
            }
            loop {
                match socket.next_within(PATIENCE).await {
                    Heard::Event(event) if event["client_message_id"] == client_id => {
                        assert_eq!(event["content"], content.as_str());
                        self.ledger.counts.received += 1;
                        let id = event["message_id"].as_str().expect("an id").to_owned();
                        chat.received.insert(client_id.to_owned(), event);
                        // Whoever did not hear this would send it again; what comes of it is heard later.
                        self.ledger.counts.sent += usize::from(socket.try_send(&frame).await);
                        return id;
                    }
                    Heard::Event(event) if event["type"] == "error" => {
                        self.note_error(&event);
                        break;
                    }
                    Heard::Event(event) if event["type"] == "message_received" => note_again(chat, &event),
                    Heard::Event(event) => note_end(chat, event),
                    Heard::Nothing => break,
                    Heard::Closed => {
                        *socket = self.connect(&chat.id).await;
                        break;
                    }
                }
            }
        }
    }

    /// Listens to the answer to a message, to its end if that can be heard; may cancel it, or lose its socket and resume.
    async fn hear(&mut self, socket: &mut Socket, chat: &mut Chat, message: &str) {
        let mut hearing: Option<Hearing> = None;
        let mut prank = self.luck.below(4);
        loop {
            let event = match socket.next_within(LONG_PATIENCE).await {
                Heard::Event(event) => event,
                // It may be that nobody answers; whoever writes next finds out. Or the socket was given up.
                Heard::Nothing => {
                    self.ledger.counts.unheard_ends += 1;
                    return;
                }
                Heard::Closed => {
                    *socket = self.connect(&chat.id).await;
                    let Some(hearing) = &hearing else { continue };
                    self.resume(socket, hearing).await;
                    continue;
                }
            };
            match event["type"].as_str() {
                Some("message_stream_started") if event["in_reply_to"] == message => {
                    let message_id = event["message_id"].as_str().expect("an id").to_owned();
                    hearing.get_or_insert(Hearing { message_id, text: String::new(), cancelled: false });
                }
                Some("message_stream_token") => {
                    let Some(hearing) = &mut hearing else { continue };
                    if event["message_id"] == hearing.message_id.as_str() {
                        hearing.take(&event);
                    }
                    match prank {
                        0 => {
                            self.ledger.counts.cancels += 1;
                            hearing.cancelled = true;
                            socket.try_send(&json!({ "type": "cancel", "message_id": hearing.message_id })).await;
                        }
                        1 => {
                            *socket = self.connect(&chat.id).await;
                            self.resume(socket, hearing).await;
                        }
                        _ => {}
                    }
                    prank = 4;
                }
                Some("message_stream_ended") => {
                    let heard = hearing.as_ref().filter(|hearing| event["message_id"] == hearing.message_id.as_str());
                    if let (Some(hearing), Some("stop")) = (heard, event["finish_reason"].as_str()) {
                        let content = event["content"].as_str().expect("it is short");
                        let agrees = content == hearing.text || hearing.cancelled && content.starts_with(&hearing.text);
                        assert!(agrees, "the tokens are not the content: {:?}, {event}", hearing.text);
                    }
                    let is_it = heard.is_some();
                    note_end(chat, event);
                    if is_it {
                        self.ledger.counts.ended += 1;
                        return;
                    }
                }
                Some("message_received") => note_again(chat, &event),
                Some("error") => {
                    self.note_error(&event);
                    // A cancel or a resume did not get through.
                    if let Some(hearing) = hearing.as_ref().filter(|_| event["message_id"].is_null()) {
                        tokio::time::sleep(PAUSE).await;
                        self.resume(socket, hearing).await;
                    }
                }
                _ => {}
            }
        }
    }

    async fn resume(&mut self, socket: &mut Socket, hearing: &Hearing) {
        self.ledger.counts.resumes += 1;
        let resume = json!({ "type": "resume", "message_id": hearing.message_id, "offset": hearing.text.len() });
        // If it is closed already, that is heard next.
        socket.try_send(&resume).await;
    }

    /// Of a socket's own request only one thing may be said, as over REST.
    fn note_error(&mut self, event: &Value) {
        let code = event["error"]["code"].as_str().unwrap_or_default();
        assert!(
            ["UNAVAILABLE", "AGENT_ERROR", "GENERATION_IN_PROGRESS", "CONNECTION_CLOSING"].contains(&code),
            "{event}"
        );
        if code == "UNAVAILABLE" && event["message_id"].is_null() {
            self.ledger.refused.push(event["request_id"].as_str().expect("an id").to_owned());
        }
    }
}

impl Hearing {
    /// Adds a token. A frame may come twice, a hole may never.
    fn take(&mut self, event: &Value) {
        let offset = event["offset"].as_u64().expect("a number") as usize;
        let token = event["token"].as_str().expect("text");
        assert!(offset <= self.text.len(), "a hole before {event}: {:?}", self.text);
        if offset + token.len() > self.text.len() {
            self.text.push_str(&token[self.text.len() - offset..]);
        }
    }
}

/// A message that is acknowledged again is the same message.
fn note_again(chat: &Chat, event: &Value) {
    let received = &chat.received[event["client_message_id"].as_str().expect("an id of ours")];
    for field in ["message_id", "seq", "content"] {
        assert_eq!(event[field], received[field]);
    }
}

fn note_end(chat: &mut Chat, event: Value) {
    if event["type"] == "message_stream_ended" {
        let id = event["message_id"].as_str().expect("an id").to_owned();
        if let Some(before) = chat.ended.insert(id, event.clone()) {
            assert_eq!((&before["finish_reason"], &before["content"]), (&event["finish_reason"], &event["content"]));
        }
    }
}
