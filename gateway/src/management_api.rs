//! The `@connections` API: post to, describe and delete connections.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>
//!
//! The protocol is that of the SDKs: REST JSON, with the error type in the header `x-amzn-errortype`.

use std::time::Instant;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderValue, Method, StatusCode, request},
    response::Response,
};
use serde_json::json;
use tracing::{debug, info};

use crate::{
    access_log::{TARGET, elapsed_ms},
    connections::{Connections, PostError},
    gateway_response::{json_response, message_response},
    request_context,
    url_encoding::percent_decode,
};

pub(crate) const PREFIX: &str = "/@connections/";

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const MAX_PAYLOAD: usize = 128 * 1024;

/// `id` is the rest of the path after [`PREFIX`], percent-encoded.
pub(crate) async fn handle(connections: &Connections, parts: &request::Parts, id: &str, body: Body) -> Response {
    let started = Instant::now();
    let id = percent_decode(id);
    let mut response = match parts.method {
        Method::POST => post(connections, &id, body).await,
        Method::GET => get(connections, &id),
        Method::DELETE => delete(connections, &id),
        _ => error(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden"),
    };
    if let Ok(request_id) = HeaderValue::from_str(&request_context::generate_id()) {
        response.headers_mut().insert("x-amzn-requestid", request_id);
    }
    let status = response.status().as_u16();
    let (method, path, duration_ms) = (&parts.method, parts.uri.path(), elapsed_ms(started));
    // A function that streams makes hundreds of posts.
    if response.status() == StatusCode::OK && *method == Method::POST {
        debug!(target: TARGET, %method, path, status, duration_ms, "request completed");
    } else {
        info!(target: TARGET, %method, path, status, duration_ms, "request completed");
    }
    response
}

async fn post(connections: &Connections, id: &str, body: Body) -> Response {
    let Some(connection) = connections.get(id) else { return gone() };
    let Ok(payload) = to_bytes(body, MAX_PAYLOAD).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", "Payload Too Large");
    };
    let Ok(text) = payload.try_into() else {
        return error(StatusCode::BAD_REQUEST, "BadRequestException", "The payload is not UTF-8 text");
    };
    match connection.post(text) {
        Ok(()) => Response::new(Body::empty()),
        Err(PostError::QueueFull) => {
            error(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", "The client reads too slowly")
        }
        Err(PostError::Gone) => gone(),
    }
}

fn get(connections: &Connections, id: &str) -> Response {
    let Some(connection) = connections.get(id) else { return gone() };
    let peer = &connection.peer;
    json_response(
        StatusCode::OK,
        json!({
            "connectedAt": peer.connected_at.to_string(),
            "identity": { "sourceIp": peer.source_ip, "userAgent": peer.user_agent.as_deref().unwrap_or_default() },
            "lastActiveAt": connection.last_active().1.to_string(),
        })
        .to_string(),
    )
}

fn delete(connections: &Connections, id: &str) -> Response {
    let Some(connection) = connections.remove(id) else { return gone() };
    connection.close();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn gone() -> Response {
    error(StatusCode::GONE, "GoneException", "Gone")
}

fn error(status: StatusCode, error_type: &'static str, message: &str) -> Response {
    let mut response = message_response(status, message);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error_type));
    response
}
