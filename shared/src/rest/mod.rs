//! The HTTP edge: from an API Gateway event to a handler, from its result to a response.

mod rate_limit_headers;
mod request;
mod response;
mod routes;
mod serve;

pub use request::{chat_id, idempotency_key, is_preflight, json_body, no_body, path_parameter, query, request_id};
pub use response::{created, created_before, made, no_content, ok};
pub use routes::{ROUTES, is_bare_collection, unknown_route};
pub use serve::{serve, serve_anybody, serve_reading};

/// A request as API Gateway's HTTP API hands it on, payload format 2.0.
pub type Request = lambda_http::Request;
/// The response of a handler.
pub type Response = lambda_http::Response<lambda_http::Body>;
