//! The HTTP edge: from an API Gateway event to a handler, from its result to a response.

mod request;
mod response;
mod routes;
mod serve;

pub use request::{api_key, chat_id, json_body, path_parameter, query};
pub use response::{created, no_content, ok};
pub use routes::{ROUTES, is_bare_collection, unknown_route};
pub(crate) use serve::panic_message;
pub use serve::serve;

/// A request as API Gateway's HTTP API hands it on, payload format 2.0.
pub type Request = lambda_http::Request;
/// The response of a handler.
pub type Response = lambda_http::Response<lambda_http::Body>;
