//! The `@connections` API.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>
//!
//! On the wire as the SDKs speak it: REST JSON, errors named by the header `x-amzn-errortype`.

use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, StatusCode, header, request};
use axum::response::Response;
use serde_json::json;
use tracing::{debug, info};

use crate::connections::{Connections, PostError};
use crate::encoding::decode;
use crate::http_api::millis;
use crate::stamp;

pub(crate) const PREFIX: &str = "/@connections/";

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const MAX_PAYLOAD: usize = 128 * 1024;

/// `id` is the part of the path behind [`PREFIX`], still percent-encoded.
pub(crate) async fn handle(connections: &Connections, parts: &request::Parts, id: &str, body: Body) -> Response {
    let started = Instant::now();
    let id = decode(id);
    let mut response = match parts.method {
        Method::POST => post(connections, &id, body).await,
        Method::GET => get(connections, &id),
        Method::DELETE => delete(connections, &id),
        _ => error(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden"),
    };
    if let Ok(request_id) = HeaderValue::from_str(&stamp::id()) {
        response.headers_mut().insert("x-amzn-requestid", request_id);
    }
    let status = response.status().as_u16();
    let (method, path, duration_ms) = (&parts.method, parts.uri.path(), millis(started));
    // A streamed answer is made of hundreds of posts.
    if response.status() == StatusCode::OK && *method == Method::POST {
        debug!(target: "gateway", %method, path, status, duration_ms, "request");
    } else {
        info!(target: "gateway", %method, path, status, duration_ms, "request");
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
        Err(PostError::Full) => {
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
        &json!({
            "connectedAt": peer.connected_at.to_string(),
            "identity": { "sourceIp": peer.source_ip, "userAgent": peer.user_agent.as_deref().unwrap_or_default() },
            "lastActiveAt": connection.last_active().1.to_string(),
        }),
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

fn error(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let mut response = json_response(status, &json!({ "message": message }));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
