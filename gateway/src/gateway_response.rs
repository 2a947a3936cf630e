//! Responses that the gateway writes itself, without a function.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;

/// A response with the body `{"message": …}`.
pub(crate) fn message_response(status: StatusCode, message: &str) -> Response {
    json_response(status, json!({ "message": message }).to_string())
}

pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
