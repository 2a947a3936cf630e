//! A well-behaved client: it retries failures under the same id and records what responses and events say.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::{Random, Received, Response, Socket, Tenant};

use super::record::{Chat, Record};

/// How long the client waits for an event before it retries.
const EVENT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long it waits for the next frame of an answer: longer than the takeover of a lost generation takes.
const STREAM_TIMEOUT: Duration = Duration::from_secs(25);

/// The limit is 10 frames a second.
const PAUSE: Duration = Duration::from_millis(150);

/// Messages in each chat.
const MESSAGES: usize = 3;

pub(super) struct Client {
    tenant: Tenant,
    user: String,
    random: Random,
    created: usize,
    pub(super) record: Record,
}

/// The answer that the client is receiving.
struct Receiving {
    message_id: String,
    text: String,
    /// The client sent `cancel`. Right after the end, another function replays the end; if posts fail just then, it arrives
    /// before the last tokens.
    cancelled: bool,
}

impl Client {
    pub(super) fn new(tenant: Tenant, seed: u64, number: u8) -> Self {
        let (user, random) = (format!("user-{number}"), Random::new(seed * 1_000 + u64::from(number)));
        Self { tenant, user, random, created: 0, record: Record::default() }
    }

    /// Creates a chat, sends messages, reads and changes it, and sometimes deletes it.
    pub(super) async fn use_a_chat(&mut self) {
        let mut chat = self.create().await;
        let mut socket = self.connect(&chat.id).await;
        for number in 0..MESSAGES {
            let id = self.send_message(&mut socket, &mut chat, &format!("m{number}")).await;
            self.receive_answer(&mut socket, &mut chat, &id).await;
        }
        let path = format!("/api/v1/chats/{}", chat.id);
        let title = format!("title {}", self.random.below(1_000));
        let tenant = self.tenant.clone();
        let change = || tenant.request(Method::PATCH, &path).json(&json!({ "title": title }));
        let changed = self.retry("update-chat", change, &[StatusCode::OK]).await;
        assert_eq!(changed.body["title"], title.as_str());
        chat.title = Some(title);
        let read = self.retry("get-chat", || tenant.request(Method::GET, &path), &[StatusCode::OK]).await;
        assert_eq!(read.body["title"], changed.body["title"], "the change is stored");
        let messages = format!("{path}/messages");
        let listed = self.retry("list-messages", || tenant.request(Method::GET, &messages), &[StatusCode::OK]).await;
        assert!(listed.body["total"].as_u64() >= Some(2 * chat.received.len() as u64), "{}", listed.body);
        if self.random.below(3) == 0 {
            // After a 503 a retry may find that the first attempt deleted the chat.
            let expected = [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
            self.retry("delete-chat", || tenant.request(Method::DELETE, &path), &expected).await;
            chat.deleted = true;
        }
        let all = format!("/api/v1/chats/user/{}", self.user);
        self.retry("list-user-chats", || tenant.request(Method::GET, &all), &[StatusCode::OK]).await;
        self.record.chats.push(chat);
    }

    /// Sends a request until it succeeds. Every failure is `UNAVAILABLE` from the function itself.
    async fn retry(
        &mut self,
        function: &'static str,
        request: impl Fn() -> RequestBuilder,
        expected: &[StatusCode],
    ) -> Response {
        loop {
            let response = self.tenant.send(request()).await;
            self.record.counts.responses += 1;
            let id =
                response.headers.get("x-request-id").unwrap_or_else(|| panic!("not from {function}: {response:?}"));
            if expected.contains(&response.status) {
                return response;
            }
            assert_eq!(
                (response.status, response.code()),
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
                "{response:?}"
            );
            self.record.counts.unavailable += 1;
            self.record.failed.push(id.to_str().expect("text").to_owned());
        }
    }

    async fn create(&mut self) -> Chat {
        self.created += 1;
        let (tenant, key) = (self.tenant.clone(), format!("{}-{}", self.user, self.created));
        let body = json!({ "user_id": self.user, "config": { "model": "echo@40" } });
        let create = || tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", &key).json(&body);
        let created = self.retry("create-chat", create, &[StatusCode::CREATED]).await;
        let again = self.retry("create-chat", create, &[StatusCode::CREATED]).await;
        assert_eq!(created.body, again.body, "the same key is the same chat");
        let id = created.body["chat_id"].as_str().expect("an id").to_owned();
        Chat { id, user: self.user.clone(), ..Chat::default() }
    }

    /// Opens a socket that gets its first event, with as many attempts as needed.
    async fn connect(&mut self, chat: &str) -> Socket {
        loop {
            let with_ticket = self.random.below(2) == 0;
            let query = if with_ticket {
                let (tenant, path) = (self.tenant.clone(), format!("/api/v1/chats/{chat}/tickets"));
                let created =
                    self.retry("create-ticket", || tenant.request(Method::POST, &path), &[StatusCode::CREATED]).await;
                format!("ticket={}", created.body["ticket"].as_str().expect("a ticket"))
            } else {
                format!("api_key={}&user_id={}&chat_id={chat}", self.tenant.key, self.user)
            };
            let handshake = self.tenant.connect_with(&query, &[]).await;
            self.record.counts.handshakes += 1;
            match handshake {
                Ok(mut socket) => match socket.next_within(3 * EVENT_TIMEOUT).await {
                    Received::Event(event) if event["type"] == "connection_established" => return socket,
                    Received::Event(event) => assert_eq!(event["error"]["code"], "UNAVAILABLE", "{event}"),
                    Received::Nothing | Received::Closed => {}
                },
                // An attempt whose response was lost may have used the ticket; lost slots take a while to return.
                Err(status) => {
                    let used_up = with_ticket && status == StatusCode::UNAUTHORIZED;
                    let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                    assert!(used_up || busy, "a handshake refused with {status}");
                    self.record.counts.refused_handshakes += 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            self.record.counts.without_first_event += 1;
        }
    }

    /// Sends a message until it is acknowledged. Returns its id.
    async fn send_message(&mut self, socket: &mut Socket, chat: &mut Chat, client_id: &str) -> String {
        let content = format!("{client_id} of {}: one two three four five six seven eight nine ten 👩‍👩‍👧", self.user);
        let frame = json!({ "content": content, "client_message_id": client_id });
        loop {
            tokio::time::sleep(PAUSE).await;
            self.record.counts.sent += 1;
            if !socket.try_send(&frame).await {
                *socket = self.connect(&chat.id).await;
                continue;
            }
            loop {
                match socket.next_within(EVENT_TIMEOUT).await {
                    Received::Event(event) if event["client_message_id"] == client_id => {
                        assert_eq!(event["content"], content.as_str());
                        self.record.counts.received += 1;
                        let id = event["message_id"].as_str().expect("an id").to_owned();
                        chat.received.insert(client_id.to_owned(), event);
                        // A client that missed the acknowledgement sends again; the response arrives later.
                        self.record.counts.sent += usize::from(socket.try_send(&frame).await);
                        return id;
                    }
                    Received::Event(event) if event["type"] == "error" => {
                        self.record_error(&event);
                        break;
                    }
                    Received::Event(event) if event["type"] == "message_received" => check_repetition(chat, &event),
                    Received::Event(event) => record_end(chat, event),
                    Received::Nothing => break,
                    Received::Closed => {
                        *socket = self.connect(&chat.id).await;
                        break;
                    }
                }
            }
        }
    }

    /// Receives the answer to a message, if possible to its end; may cancel it, or drop the socket and resume.
    async fn receive_answer(&mut self, socket: &mut Socket, chat: &mut Chat, message: &str) {
        let mut receiving: Option<Receiving> = None;
        let mut action = self.random.below(4);
        loop {
            let event = match socket.next_within(STREAM_TIMEOUT).await {
                Received::Event(event) => event,
                // The owner is gone, until the next message takes over; or the socket was given up.
                Received::Nothing => {
                    self.record.counts.missed_ends += 1;
                    return;
                }
                Received::Closed => {
                    *socket = self.connect(&chat.id).await;
                    let Some(receiving) = &receiving else { continue };
                    self.resume(socket, receiving).await;
                    continue;
                }
            };
            match event["type"].as_str() {
                Some("message_stream_started") if event["in_reply_to"] == message => {
                    let message_id = event["message_id"].as_str().expect("an id").to_owned();
                    receiving.get_or_insert(Receiving { message_id, text: String::new(), cancelled: false });
                }
                Some("message_stream_token") => {
                    let Some(receiving) = &mut receiving else { continue };
                    if event["message_id"] == receiving.message_id.as_str() {
                        receiving.take(&event);
                    }
                    match action {
                        0 => {
                            self.record.counts.cancels += 1;
                            receiving.cancelled = true;
                            socket.try_send(&json!({ "type": "cancel", "message_id": receiving.message_id })).await;
                        }
                        1 => {
                            *socket = self.connect(&chat.id).await;
                            self.resume(socket, receiving).await;
                        }
                        _ => {}
                    }
                    action = 4;
                }
                Some("message_stream_ended") => {
                    let ended =
                        receiving.as_ref().filter(|receiving| event["message_id"] == receiving.message_id.as_str());
                    if let (Some(receiving), Some("stop")) = (ended, event["finish_reason"].as_str()) {
                        let content = event["content"].as_str().expect("it is short");
                        let matches =
                            content == receiving.text || receiving.cancelled && content.starts_with(&receiving.text);
                        assert!(matches, "the tokens differ from the content: {:?}, {event}", receiving.text);
                    }
                    let is_ended = ended.is_some();
                    record_end(chat, event);
                    if is_ended {
                        self.record.counts.ended += 1;
                        return;
                    }
                }
                Some("message_received") => check_repetition(chat, &event),
                Some("error") => {
                    self.record_error(&event);
                    // A cancel or a resume failed.
                    if let Some(receiving) = receiving.as_ref().filter(|_| event["message_id"].is_null()) {
                        tokio::time::sleep(PAUSE).await;
                        self.resume(socket, receiving).await;
                    }
                }
                _ => {}
            }
        }
    }

    async fn resume(&mut self, socket: &mut Socket, receiving: &Receiving) {
        self.record.counts.resumes += 1;
        let resume = json!({ "type": "resume", "message_id": receiving.message_id, "offset": receiving.text.len() });
        // If the socket is closed, the next read notices.
        socket.try_send(&resume).await;
    }

    /// Only these errors are allowed; a failed request is recorded.
    fn record_error(&mut self, event: &Value) {
        let code = event["error"]["code"].as_str().unwrap_or_default();
        // A replay is refused while the socket has another one. The client never reaches the limit of frames.
        let is_second_replay = code == "RATE_LIMIT_EXCEEDED" && event["error"]["details"]["message_id"].is_string();
        let allowed = ["UNAVAILABLE", "AGENT_ERROR", "GENERATION_IN_PROGRESS", "CONNECTION_CLOSING"];
        assert!(allowed.contains(&code) || is_second_replay, "{event}");
        if code == "UNAVAILABLE" && event["message_id"].is_null() {
            self.record.failed.push(event["request_id"].as_str().expect("an id").to_owned());
        }
    }
}

impl Receiving {
    /// Adds a token. A frame may arrive twice; a gap is an error.
    fn take(&mut self, event: &Value) {
        let offset = event["offset"].as_u64().expect("a number") as usize;
        let token = event["token"].as_str().expect("text");
        assert!(offset <= self.text.len(), "a gap before {event}: {:?}", self.text);
        if offset + token.len() > self.text.len() {
            self.text.push_str(&token[self.text.len() - offset..]);
        }
    }
}

/// A repeated acknowledgement is about the same message.
fn check_repetition(chat: &Chat, event: &Value) {
    let received = &chat.received[event["client_message_id"].as_str().expect("an id")];
    for field in ["message_id", "seq", "content"] {
        assert_eq!(event[field], received[field]);
    }
}

fn record_end(chat: &mut Chat, event: Value) {
    if event["type"] == "message_stream_ended" {
        let id = event["message_id"].as_str().expect("an id").to_owned();
        if let Some(before) = chat.ended.insert(id, event.clone()) {
            assert_eq!((&before["finish_reason"], &before["content"]), (&event["finish_reason"], &event["content"]));
        }
    }
}
