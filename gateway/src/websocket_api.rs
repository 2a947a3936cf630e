//! The WebSocket API: its three kinds of events, and the sockets behind them.

mod event;
mod handshake;
mod route;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::connections::{Connection, Connections, Peer};
use crate::http_api::{forwarded, gateway_response, millis, patience, status_code};
use crate::invoke::{InvokeError, Invoker};
use crate::stamp;
use crate::template;

pub(crate) use event::Events;
use handshake::Handshake;

const CONNECT: &str = "$connect";
const DISCONNECT: &str = "$disconnect";
const DEFAULT: &str = "$default";

pub(crate) struct WebSocketApi {
    pub(crate) api: template::WebSocketApi,
    pub(crate) limits: Limits,
    pub(crate) invoker: Arc<Invoker>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) outgoing: usize,
    pub(crate) in_flight: usize,
}

impl WebSocketApi {
    /// Answers a request on the path of this API: invokes `$connect`, and opens the socket if that says so.
    pub(crate) async fn connect(self: Arc<Self>, request: axum::extract::Request, peer: SocketAddr) -> Response {
        let handshake = match Handshake::from_request(request) {
            Ok(handshake) => handshake,
            Err(refusal) => return *refusal,
        };
        let (answer, answered) = oneshot::channel();
        let tasks = self.tasks.clone();
        // In a task of its own, since a client that leaves during $connect ends this future but still needs a $disconnect.
        tasks.spawn(async move { self.open(handshake, peer, answer).await });
        let unavailable = || gateway_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        answered.await.unwrap_or_else(|_| unavailable())
    }

    async fn open(self: Arc<Self>, handshake: Handshake, address: SocketAddr, answer: oneshot::Sender<Response>) {
        let text =
            |name| handshake.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let peer = Peer {
            id: stamp::id(),
            connected_at: Timestamp::now(),
            source_ip: address.ip().to_string(),
            user_agent: text(header::USER_AGENT),
            domain_name: text(header::HOST).unwrap_or_default(),
        };
        let shutdown = self.shutdown.clone();
        let Some(accepted) = shutdown.run_until_cancelled(self.accept(&handshake, &peer, address)).await else {
            return;
        };
        let response = match accepted {
            Ok(protocol) => handshake.switching_protocols(protocol),
            Err(refusal) => {
                let _ = answer.send(refusal);
                return;
            }
        };
        let _ = answer.send(response);
        let (connection, frames) = Connection::new(peer, self.limits.outgoing);
        match handshake.upgrade.await {
            Ok(upgraded) => socket::run(self, upgraded, connection, frames).await,
            Err(_) => self.disconnect(&connection.peer, socket::ABNORMAL, "Connection closed abnormally").await,
        }
    }

    /// Invokes `$connect`: the subprotocol that the function chose, or a refusal.
    async fn accept(
        &self,
        handshake: &Handshake,
        peer: &Peer,
        address: SocketAddr,
    ) -> Result<Option<String>, Response> {
        if !self.api.routes.contains_key(CONNECT) {
            return Ok(None);
        }
        let started = Instant::now();
        let request_id = stamp::id();
        let headers = forwarded(&handshake.headers, address);
        let event = self.events(peer).connect(&request_id, &headers, handshake.query.as_deref());
        let answer = self.invoke(CONNECT, &event).await;
        let (status, message) = match &answer {
            Ok(answer) => match answer.status {
                status if status.is_success() => (status, ""),
                status if status.is_server_error() => (status, "Internal server error"),
                status => (status, status.canonical_reason().unwrap_or("Forbidden")),
            },
            Err(InvokeError::Timeout(_)) => (StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
            Err(_) => (StatusCode::BAD_GATEWAY, "Internal server error"),
        };
        info!(
            target: "gateway",
            method = "GET",
            path = handshake.path,
            route = CONNECT,
            function = self.function(CONNECT),
            status = status.as_u16(),
            duration_ms = millis(started),
            error = answer.as_ref().err().map(ToString::to_string),
            connection = peer.id,
            "connect"
        );
        match answer {
            Ok(answer) if status.is_success() => Ok(answer.protocol),
            _ => Err(handshake::refusal(status, &refusal(message, &peer.id, &request_id))),
        }
    }

    /// Invokes the route of a message. The client hears of it only when that fails.
    async fn deliver(&self, connection: &Connection, text: Utf8Bytes) {
        let started = Instant::now();
        let request_id = stamp::id();
        let peer = &connection.peer;
        let route = route::select(&self.api, &text);
        let answer = match route {
            Some(route) => self.invoke(route, &self.events(peer).message(&request_id, route, &text)).await.map(Some),
            None => Ok(None),
        };
        let failure = match &answer {
            Ok(Some(_)) => None,
            Ok(None) => Some("Forbidden"),
            Err(_) => Some("Internal server error"),
        };
        info!(
            target: "gateway",
            route,
            function = route.and_then(|route| self.function(route)),
            status = answer.as_ref().ok().and_then(Option::as_ref).map(|answer| answer.status.as_u16()),
            duration_ms = millis(started),
            error = answer.as_ref().err().map(ToString::to_string),
            connection = peer.id,
            "message"
        );
        if let Some(message) = failure {
            // A client that does not read its frames does not read this one either.
            let _ = connection.post(refusal(message, &peer.id, &request_id).into());
        }
    }

    async fn disconnect(&self, peer: &Peer, code: u16, reason: &str) {
        let started = Instant::now();
        let event = self.events(peer).disconnect(&stamp::id(), code, reason);
        let answer = match self.function(DISCONNECT) {
            Some(_) => Some(self.invoke(DISCONNECT, &event).await),
            None => None,
        };
        info!(
            target: "gateway",
            route = DISCONNECT,
            function = self.function(DISCONNECT),
            status = answer.as_ref().and_then(|answer| answer.as_ref().ok()).map(|answer| answer.status.as_u16()),
            duration_ms = millis(started),
            error = answer.as_ref().and_then(|answer| answer.as_ref().err()).map(ToString::to_string),
            connection = peer.id,
            code,
            "disconnect"
        );
    }

    fn events<'a>(&'a self, peer: &'a Peer) -> Events<'a> {
        Events { stage: &self.api.stage, peer }
    }

    fn function(&self, route: &str) -> Option<&str> {
        self.api.routes.get(route).map(|route| route.function.name.as_str())
    }

    async fn invoke(&self, route: &str, event: &Value) -> Result<Answer, InvokeError> {
        let Some(route) = self.api.routes.get(route) else { return Err(malformed()) };
        let limit = patience(route.timeout, route.function.timeout);
        let answer = self.invoker.invoke(&route.function.name, event, limit).await?;
        Answer::parse(&answer).ok_or_else(malformed)
    }
}

/// What API Gateway takes from a function's answer: never the body.
struct Answer {
    status: StatusCode,
    protocol: Option<String>,
}

impl Answer {
    fn parse(answer: &Bytes) -> Option<Self> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let protocol = answer.get("headers").and_then(Value::as_object).and_then(|headers| {
            let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))?;
            value.as_str().map(str::to_owned)
        });
        Some(Self { status: status_code(answer.get("statusCode")?)?, protocol })
    }
}

fn malformed() -> InvokeError {
    InvokeError::Function { error_type: "an answer that is not a proxy response".to_owned() }
}

fn refusal(message: &str, connection_id: &str, request_id: &str) -> String {
    json!({ "message": message, "connectionId": connection_id, "requestId": request_id }).to_string()
}

/// The events that warm up the functions of this API: on each route what it would get from an unknown connection.
pub(crate) fn warm_up_event(stage: &str, route: &str, peer: &Peer) -> Value {
    let events = Events { stage, peer };
    let request_id = stamp::id();
    match route {
        CONNECT => {
            let mut headers = HeaderMap::new();
            headers.extend(peer.domain_name.parse().map(|host| (header::HOST, host)));
            events.connect(&request_id, &headers, None)
        }
        DISCONNECT => events.disconnect(&request_id, socket::ABNORMAL, "Connection closed abnormally"),
        route => events.message(&request_id, route, "{}"),
    }
}
