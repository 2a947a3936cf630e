//! Clients: plain HTTP and a plain WebSocket.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use shared::domain::id::TenantId;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use crate::documents;

/// Longer than the gateway waits for a function, also on a slow machine. A test that waits this long fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until a condition holds; panics after a minute.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TIMEOUT, polling).await.unwrap_or_else(|_| panic!("timed out waiting until {what}"));
}

/// A client of one tenant, with its API key. Tests with access to the tables have its [`TenantId`], others its text.
#[derive(Clone, Debug)]
pub struct Tenant<Id = TenantId> {
    /// The tenant's id.
    pub id: Id,
    /// Its API key.
    pub key: String,
    rest_url: String,
    websocket_url: String,
    http: reqwest::Client,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null if empty.
    pub body: Value,
}

impl Response {
    /// The error code; empty without an error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl<Id: Clone> Tenant<Id> {
    pub(crate) fn new(rest_url: &str, websocket_url: &str, id: Id, key: String) -> Self {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().expect("a client without TLS");
        Self { id, key, rest_url: rest_url.to_owned(), websocket_url: websocket_url.to_owned(), http }
    }

    /// The same client with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// A request with this tenant's key.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.rest_url));
        if self.key.is_empty() { request } else { request.header("X-API-Key", &self.key) }
    }

    /// Sends a request. `docs/openapi.json` must describe the response.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Response {
        let request = request.build().expect("a request");
        let base = reqwest::Url::parse(&self.rest_url).expect("an address");
        let path =
            request.url().path().strip_prefix(base.path().trim_end_matches('/')).expect("the path is below the base");
        let (method, path) = (request.method().clone(), path.to_owned());
        let response = self.http.execute(request).await.expect("the gateway responds");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the body arrives");
        let response = Response { status, headers, body: json_of(&text) };
        documents::check_response(&method, &path, &response);
        response
    }

    /// `GET`s a path.
    pub async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST`s JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `DELETE`s a path.
    pub async fn delete(&self, path: &str) -> Response {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Creates a chat for a user; returns its id.
    pub async fn chat(&self, user: &str) -> String {
        self.chat_with(&json!({ "user_id": user })).await
    }

    /// Creates a chat; returns its id.
    pub async fn chat_with(&self, body: &Value) -> String {
        let response = self.post("/api/v1/chats/", body).await;
        assert_eq!(response.status, StatusCode::CREATED, "{}", response.body);
        response.body["chat_id"].as_str().expect("a chat has an id").to_owned()
    }

    /// Opens a socket and waits for its `connection_established`, which stays unread.
    pub async fn connect(&self, chat: &str, user: &str) -> Socket {
        let query = format!("api_key={}&user_id={user}&chat_id={chat}", self.key);
        let mut socket = self.connect_with(&query, &[]).await.expect("the handshake succeeds");
        let first = socket.next().await;
        assert_eq!(first["type"], "connection_established", "{first}");
        socket.unread(first);
        socket
    }

    /// Sends a handshake that must be refused; returns the whole response.
    pub async fn refusal(&self, query: &str) -> Response {
        let url = format!("{}?{query}", self.websocket_url.replacen("ws", "http", 1));
        let handshake = self.http.get(url).headers(HeaderMap::from_iter([
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            (header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")),
        ]));
        let response = handshake.send().await.expect("the gateway responds");
        let (status, headers) = (response.status(), response.headers().clone());
        documents::check_refusal(status);
        Response { status, headers, body: json_of(&response.text().await.expect("the body arrives")) }
    }

    /// Opens a socket with any query and headers; returns the status of a refusal.
    pub async fn connect_with(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, StatusCode> {
        let url = format!("{}?{query}", self.websocket_url);
        let mut request = url.into_client_request().expect("the address is valid");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        match timeout(TIMEOUT, Box::pin(connect_async(request))).await.expect("the handshake ends") {
            Ok((stream, _)) => Ok(Socket { stream, unread: VecDeque::new() }),
            Err(tungstenite::Error::Http(response)) => {
                let status = StatusCode::from_u16(response.status().as_u16()).expect("a status");
                documents::check_refusal(status);
                Err(status)
            }
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }
}

/// A body; null if empty.
fn json_of(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { serde_json::from_str(text).expect("bodies are JSON") }
}

/// What a socket received within a time.
#[derive(Debug)]
pub enum Received {
    /// An event.
    Event(Value),
    /// Nothing.
    Nothing,
    /// The server closed it.
    Closed,
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    unread: VecDeque<Value>,
}

impl Socket {
    /// Sends a JSON text.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("the socket is open");
    }

    /// The next event. `docs/asyncapi.json` must describe it.
    pub async fn next(&mut self) -> Value {
        if let Some(event) = self.unread.pop_front() {
            return event;
        }
        loop {
            let message = timeout(TIMEOUT, self.stream.next()).await.expect("an event arrives");
            match message.expect("the socket is open").expect("the socket works") {
                Message::Text(text) => {
                    let event = serde_json::from_str(&text).expect("events are JSON");
                    documents::check_event(&event);
                    return event;
                }
                Message::Close(frame) => panic!("the socket was closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The next event, if one arrives in time. `docs/asyncapi.json` must describe it.
    pub async fn next_within(&mut self, time: Duration) -> Received {
        if let Some(event) = self.unread.pop_front() {
            return Received::Event(event);
        }
        let end = tokio::time::Instant::now() + time;
        loop {
            match tokio::time::timeout_at(end, self.stream.next()).await {
                Err(_) => return Received::Nothing,
                Ok(Some(Ok(Message::Text(text)))) => {
                    let event = serde_json::from_str(&text).expect("events are JSON");
                    documents::check_event(&event);
                    return Received::Event(event);
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Received::Closed,
                Ok(Some(Ok(_))) => {}
            }
        }
    }

    /// Sends a JSON text; false if the socket is closed.
    pub async fn try_send(&mut self, frame: &Value) -> bool {
        self.stream.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// The next event of a type; skips others.
    pub async fn next_of(&mut self, event_type: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == event_type {
                return event;
            }
        }
    }

    /// All events up to the next `message_stream_ended`, and that one.
    pub async fn until_end(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let ended = event["type"] == "message_stream_ended";
            events.push(event);
            if ended {
                return events;
            }
        }
    }

    /// Sends a text; returns all events from its `message_received` to its end.
    pub async fn say(&mut self, content: &str) -> Vec<Value> {
        self.ask(&json!({ "content": content })).await
    }

    /// Sends a message; returns all events from its `message_received` to its end.
    pub async fn ask(&mut self, message: &Value) -> Vec<Value> {
        self.send(message).await;
        let received = self.next_of("message_received").await;
        let mut events = vec![received];
        events.extend(self.until_end().await);
        events
    }

    /// Waits until the server closes the socket; checks and skips events.
    pub async fn closed(&mut self) {
        while let Some(Ok(message)) = timeout(TIMEOUT, self.stream.next()).await.expect("the socket is closed") {
            match message {
                Message::Text(text) => documents::check_event(&serde_json::from_str(&text).expect("events are JSON")),
                Message::Close(_) => break,
                _ => {}
            }
        }
    }

    /// Closes the socket.
    pub async fn close(mut self) {
        self.stream.close(None).await.expect("the socket is open");
        while let Some(Ok(_)) = timeout(TIMEOUT, self.stream.next()).await.expect("the server confirms the close") {}
    }

    /// Puts an event back, so that it is read again.
    fn unread(&mut self, event: Value) {
        self.unread.push_front(event);
    }
}
