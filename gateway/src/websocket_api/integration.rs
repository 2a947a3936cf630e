//! Invokes the functions of `$connect`, of messages and of `$disconnect`, and logs each invocation.

use std::{net::SocketAddr, time::Instant};

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::info;

use super::{
    api::WebSocketApi,
    close::Close,
    event::Events,
    handshake::Handshake,
    route::{self, CONNECT, DISCONNECT},
};
use crate::{
    access_log::{TARGET, elapsed_ms},
    connections::{Connection, Peer},
    forwarded_headers::add_forwarded,
    gateway_response::json_response,
    integration_timeout::invocation_timeout,
    invoke::InvokeError,
    proxy_response::status_code,
    request_context::generate_id,
    template::WebSocketRoute,
};

impl WebSocketApi {
    /// Returns the subprotocol that the function chooses, or the response that rejects the handshake.
    pub(super) async fn invoke_connect(
        &self,
        handshake: &Handshake,
        peer: &Peer,
        source: SocketAddr,
    ) -> Result<Option<String>, Response> {
        let Some(route) = self.api.routes.get(CONNECT) else { return Ok(None) };
        let started = Instant::now();
        let request_id = generate_id();
        let headers = add_forwarded(&handshake.headers, source);
        let event = self.events(peer).connect(&request_id, &headers, handshake.query.as_deref());
        let result = self.invoke(route, &event).await;
        let (status, message) = match &result {
            Ok(response) => match response.status {
                status if status.is_success() => (status, ""),
                status if status.is_server_error() => (status, "Internal server error"),
                status => (status, status.canonical_reason().unwrap_or("Forbidden")),
            },
            Err(InvokeError::Timeout(_)) => (StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
            Err(_) => (StatusCode::BAD_GATEWAY, "Internal server error"),
        };
        info!(
            target: TARGET,
            method = "GET",
            path = handshake.path,
            route = CONNECT,
            function = route.function.name,
            status = status.as_u16(),
            duration_ms = elapsed_ms(started),
            error = result.as_ref().err().map(ToString::to_string),
            connection_id = peer.id,
            "handshake completed"
        );
        match result {
            Ok(response) if status.is_success() => Ok(response.protocol),
            _ => Err(json_response(status, error_body(message, &peer.id, &request_id))),
        }
    }

    /// Invokes the selected route of a message. The client gets an error frame if that fails, but never the response of
    /// the function, as on AWS for a route without a route response.
    pub(super) async fn invoke_message(&self, connection: &Connection, text: Utf8Bytes) {
        let started = Instant::now();
        let request_id = generate_id();
        let peer = &connection.peer;
        let selected = route::select(&self.api, &text);
        let result = match selected {
            Some((key, route)) => {
                self.invoke(route, &self.events(peer).message(&request_id, key, &text)).await.map(Some)
            }
            None => Ok(None),
        };
        let failure = match &result {
            Ok(Some(_)) => None,
            Ok(None) => Some("Forbidden"),
            Err(_) => Some("Internal server error"),
        };
        info!(
            target: TARGET,
            route = selected.map(|(key, _)| key),
            function = selected.map(|(_, route)| route.function.name.as_str()),
            status = result.as_ref().ok().and_then(Option::as_ref).map(|response| response.status.as_u16()),
            duration_ms = elapsed_ms(started),
            error = result.as_ref().err().map(ToString::to_string),
            connection_id = peer.id,
            "message completed"
        );
        if let Some(message) = failure {
            // Dropped if the queue is full or the connection is closed.
            let _ = connection.post(error_body(message, &peer.id, &request_id).into());
        }
    }

    pub(super) async fn invoke_disconnect(&self, peer: &Peer, close: &Close) {
        let started = Instant::now();
        let event = self.events(peer).disconnect(&generate_id(), close.code, &close.reason);
        let route = self.api.routes.get(DISCONNECT);
        let result = match route {
            Some(route) => self.invoke(route, &event).await.map(Some),
            None => Ok(None),
        };
        info!(
            target: TARGET,
            route = DISCONNECT,
            function = route.map(|route| route.function.name.as_str()),
            status = result.as_ref().ok().and_then(Option::as_ref).map(|response| response.status.as_u16()),
            duration_ms = elapsed_ms(started),
            error = result.as_ref().err().map(ToString::to_string),
            connection_id = peer.id,
            code = close.code,
            "connection closed"
        );
    }

    fn events<'a>(&'a self, peer: &'a Peer) -> Events<'a> {
        Events { stage: &self.api.stage, peer }
    }

    async fn invoke(&self, route: &WebSocketRoute, event: &Value) -> Result<ProxyResponse, InvokeError> {
        let limit = invocation_timeout(route.timeout, route.function.timeout);
        let payload = self.invoker.invoke(&route.function.name, event, limit).await?;
        ProxyResponse::parse(&payload).ok_or(InvokeError::MalformedResponse)
    }
}

/// The parts of a proxy response that a WebSocket API uses; it ignores the body.
struct ProxyResponse {
    status: StatusCode,
    protocol: Option<String>,
}

impl ProxyResponse {
    fn parse(payload: &[u8]) -> Option<Self> {
        let payload: Value = serde_json::from_slice(payload).ok()?;
        let protocol = payload.get("headers").and_then(Value::as_object).and_then(|headers| {
            let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))?;
            value.as_str().map(str::to_owned)
        });
        Some(Self { status: status_code(payload.get("statusCode")?)?, protocol })
    }
}

fn error_body(message: &str, connection_id: &str, request_id: &str) -> String {
    json!({ "message": message, "connectionId": connection_id, "requestId": request_id }).to_string()
}
