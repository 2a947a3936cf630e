//! A socket of an attacker. It checks no event, so that it sends and reads as fast as the machine allows.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::Value;
use tests::{Stack, Tenant, eventually};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// The receive buffer of a socket that does not read: the kernel's least.
const SMALL_BUFFER: u32 = 1;

/// An open socket.
pub(super) struct AttackSocket {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    events: Arc<Mutex<Vec<(Instant, Value)>>>,
    /// `None` for a socket that does not read.
    reader: Option<JoinHandle<()>>,
    /// The half that is never read.
    _unread: Option<futures_util::stream::SplitStream<WebSocketStream<TcpStream>>>,
}

impl AttackSocket {
    /// Opens a socket of user `u`; `None` if it is refused.
    pub(super) async fn open(stack: &Stack, tenant: &Tenant, chat: &str) -> Option<Self> {
        Self::of_user(stack, tenant, chat, true).await
    }

    /// As [`open`](Self::open); without `reads` it reads nothing after its handshake.
    pub(super) async fn of_user(stack: &Stack, tenant: &Tenant, chat: &str, reads: bool) -> Option<Self> {
        Self::connect(stack, &format!("api_key={}&user_id=u&chat_id={chat}", tenant.key), reads).await
    }

    /// Opens a socket with any query; `None` if it is refused.
    pub(super) async fn connect(stack: &Stack, query: &str, reads: bool) -> Option<Self> {
        let url = format!("{}?{query}", stack.websocket_url());
        let request = url.into_client_request().expect("the address is valid");
        let address = request.uri().authority().expect("an address").as_str().parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        if !reads {
            socket.set_recv_buffer_size(SMALL_BUFFER).expect("a buffer");
        }
        let stream = socket.connect(address).await.expect("the gateway listens");
        let (stream, _) = Box::pin(client_async(request, stream)).await.ok()?;
        let (sink, mut source) = stream.split();
        let events = Arc::new(Mutex::new(Vec::new()));
        if !reads {
            return Some(Self { sink, events, reader: None, _unread: Some(source) });
        }
        let received = events.clone();
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                let Message::Text(text) = message else { continue };
                let event = serde_json::from_str(&text).expect("events are JSON");
                received.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), event));
            }
        });
        Some(Self { sink, events, reader: Some(reader), _unread: None })
    }

    /// Sends a frame; false if the socket is closed.
    pub(super) async fn send(&mut self, frame: &Value) -> bool {
        self.is_open() && self.sink.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// Whether the server has not closed it, as far as the client can know.
    pub(super) fn is_open(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| !reader.is_finished())
    }

    /// The events so far, with their arrival.
    pub(super) fn events(&self) -> Vec<(Instant, Value)> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the first event of a type.
    pub(super) async fn wait_for(&self, kind: &str) -> Value {
        let is_kind = |event: &Value| event["type"] == kind;
        self.wait_for_matching(1, is_kind).await;
        self.events().into_iter().map(|(_, event)| event).find(is_kind).unwrap_or_default()
    }

    /// Waits for this many matching events.
    pub(super) async fn wait_for_matching(&self, count: usize, matches: impl Fn(&Value) -> bool) {
        let matching = || self.events().iter().filter(|(_, event)| matches(event)).count();
        eventually("the attacker has its events", async || matching() >= count).await;
    }
}

impl Drop for AttackSocket {
    fn drop(&mut self) {
        // The other half keeps the connection open.
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}
