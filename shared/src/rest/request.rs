//! Taking a request apart.

use http::{
    Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN},
};
use lambda_http::{RequestExt, request::RequestContext};
use serde_json::Value;

use super::Request;
use crate::{
    auth::API_KEY_HEADER,
    domain::{
        error::{ApiError, Code},
        id::{ChatId, IdempotencyKey},
        input::{Field, Fields},
    },
};

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// API Gateway's id of the request, in answers and in the log.
#[must_use]
pub fn request_id(request: &Request) -> String {
    let id = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    };
    id.unwrap_or_else(|| request.lambda_context().request_id)
}

/// Whether a browser asks if a page may send a request that no form could. Where an HTTP API has a `$default` route, that
/// gets these questions too; API Gateway puts its headers for CORS on a good answer, if the template names origins.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>
#[must_use]
pub fn is_preflight(request: &Request) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The API key that was sent, if it is readable as text.
pub(super) fn api_key(request: &Request) -> Option<&str> {
    request.headers().get(API_KEY_HEADER)?.to_str().ok()
}

/// The fields of the body.
///
/// # Errors
///
/// `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`, `INVALID_JSON`.
pub fn json_body(request: &Request) -> Result<Fields, ApiError> {
    if request.body().len() > MAX_BODY {
        return Err(ApiError::new(
            Code::PayloadTooLarge,
            "The body is too large.",
            format!("Send at most {MAX_BODY} bytes."),
        )
        .with_detail("got_bytes", request.body().len())
        .with_detail("allowed_bytes", MAX_BODY));
    }
    if let Some(sent) = request.headers().get(CONTENT_TYPE) {
        let essence = sent.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "The body is not JSON.",
                "Send JSON with the header Content-Type: application/json.",
            )
            .with_detail("got", essence.chars().take(128).collect::<String>())
            .with_detail("allowed", "application/json"));
        }
    }
    Fields::from_json(request.body())
}

/// Holds a request to sending nothing, or an empty object.
///
/// # Errors
///
/// As [`json_body`], and `UNKNOWN_FIELD`.
pub fn no_body(request: &Request) -> Result<(), ApiError> {
    if request.body().is_empty() { Ok(()) } else { json_body(request)?.finish() }
}

/// The key that makes a request run once, if the caller gave it one.
///
/// # Errors
///
/// `INVALID_PARAMETER`.
pub fn idempotency_key(request: &Request) -> Result<Option<IdempotencyKey>, ApiError> {
    const NAME: &str = "Idempotency-Key";
    let Some(value) = request.headers().get(NAME) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    match IdempotencyKey::parse(&text) {
        Some(key) => Ok(Some(key)),
        None => Err(ApiError::invalid_parameter(NAME, &Value::from(text), "1 to 255 printable ASCII characters")),
    }
}

/// The parameters of the query string.
#[must_use]
pub fn query(request: &Request) -> Fields {
    request
        .query_string_parameters_ref()
        .map_or_else(|| Fields::from_pairs([]), |query| Fields::from_pairs(query.iter()))
}

/// A parameter of the path.
///
/// # Errors
///
/// `INVALID_PARAMETER`.
pub fn path_parameter<T: Field>(request: &Request, name: &'static str) -> Result<T, ApiError> {
    let value = raw_path_parameter(request, name);
    Fields::from_pairs([(name, value)]).required(name)
}

/// The chat that the path names.
///
/// # Errors
///
/// `CHAT_NOT_FOUND`, also for a text that could never be the id of a chat.
pub fn chat_id(request: &Request) -> Result<ChatId, ApiError> {
    let text = raw_path_parameter(request, "chat_id");
    ChatId::parse(text).ok_or_else(|| ApiError::chat_not_found(text))
}

fn raw_path_parameter<'a>(request: &'a Request, name: &str) -> &'a str {
    request.path_parameters_ref().and_then(|parameters| parameters.first(name)).unwrap_or_default()
}

impl Field for crate::domain::id::UserId {
    const ALLOWED: &'static str = Self::ALLOWED;

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }
}
