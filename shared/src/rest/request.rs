//! Reading requests.

use http::{
    Method,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN},
};
use lambda_http::{RequestExt, request::RequestContext};
use serde_json::Value;

use crate::{
    auth::API_KEY_HEADER,
    domain::{
        error::{ApiError, Code},
        id::{ChatId, IdempotencyKey, UserId},
        input::{Field, Fields},
    },
};

/// A request, as API Gateway's HTTP API passes it on (payload format 2.0).
pub type Request = lambda_http::Request;

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// API Gateway's id of the request, which responses and logs carry.
#[must_use]
pub fn request_id(request: &Request) -> String {
    let id = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    };
    id.unwrap_or_else(|| request.lambda_context().request_id)
}

/// Whether the request is a CORS preflight. The `$default` route of an HTTP API gets preflights too; if the template
/// names origins, API Gateway adds the CORS headers to a successful response.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>
#[must_use]
pub fn is_cors_preflight(request: &Request) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The API key of the request, if its header is text.
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

/// Refuses a body other than an empty object.
///
/// # Errors
///
/// As [`json_body`], and `UNKNOWN_FIELD`.
pub fn no_body(request: &Request) -> Result<(), ApiError> {
    if request.body().is_empty() { Ok(()) } else { json_body(request)?.finish() }
}

/// The `Idempotency-Key` of the request, if it has one.
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

/// The path parameter `chat_id`.
///
/// # Errors
///
/// `CHAT_NOT_FOUND` for a text that is no chat id: such a chat does not exist.
pub fn chat_id(request: &Request) -> Result<ChatId, ApiError> {
    let text = raw_path_parameter(request, "chat_id");
    ChatId::parse(text).ok_or_else(|| ApiError::chat_not_found(text))
}

/// The path parameter `user_id`.
///
/// # Errors
///
/// `INVALID_PARAMETER`.
pub fn user_id(request: &Request) -> Result<UserId, ApiError> {
    Fields::from_pairs([("user_id", raw_path_parameter(request, "user_id"))]).required("user_id")
}

fn raw_path_parameter<'a>(request: &'a Request, name: &str) -> &'a str {
    request.path_parameters_ref().and_then(|parameters| parameters.first(name)).unwrap_or_default()
}

impl Field for UserId {
    const ALLOWED: &'static str = Self::ALLOWED;

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lambda_http::Body;

    use super::*;

    fn request(body: &str) -> Request {
        Request::new(Body::from(body))
    }

    fn with_header(mut request: Request, name: &'static str, value: &str) -> Request {
        request.headers_mut().insert(name, value.parse().expect("a header value"));
        request
    }

    fn with_chat_id(text: &str) -> Request {
        request("").with_path_parameters(HashMap::from([("chat_id".to_owned(), vec![text.to_owned()])]))
    }

    fn code<T>(result: Result<T, ApiError>) -> Option<Code> {
        result.err().map(|error| error.code())
    }

    #[test]
    fn body_of_another_content_type_is_refused() {
        let sent_as = |value| code(json_body(&with_header(request("{}"), "content-type", value)));
        assert_eq!(sent_as("text/plain"), Some(Code::UnsupportedMediaType));
        assert_eq!(sent_as("application/json"), None);
        assert_eq!(sent_as("Application/JSON; charset=utf-8"), None);
        assert_eq!(code(json_body(&request("{}"))), None, "the header may be left out");
    }

    #[test]
    fn body_may_have_64_kib() {
        let body = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
        assert_eq!(code(json_body(&request(&body(MAX_BODY)))), None);
        assert_eq!(code(json_body(&request(&body(MAX_BODY + 1)))), Some(Code::PayloadTooLarge));
    }

    #[test]
    fn unneeded_body_may_be_empty_or_an_empty_object() {
        assert_eq!(code(no_body(&request(""))), None);
        assert_eq!(code(no_body(&request("{}"))), None);
        assert_eq!(code(no_body(&request(r#"{"a":1}"#))), Some(Code::UnknownField));
    }

    #[test]
    fn idempotency_key_is_optional_and_checked() {
        let sent = |value: &str| idempotency_key(&with_header(request(""), "idempotency-key", value));
        assert!(matches!(idempotency_key(&request("")), Ok(None)));
        assert!(matches!(sent("k1"), Ok(Some(_))));
        assert_eq!(code(sent("")), Some(Code::InvalidParameter));
    }

    #[test]
    fn impossible_chat_id_is_a_chat_that_does_not_exist() {
        assert_eq!(code(chat_id(&with_chat_id("nonsense"))), Some(Code::ChatNotFound));
        assert!(chat_id(&with_chat_id(ChatId::generate().as_str())).is_ok());
    }

    #[test]
    fn impossible_user_id_is_invalid() {
        let with_user_id = |text: &str| {
            request("").with_path_parameters(HashMap::from([("user_id".to_owned(), vec![text.to_owned()])]))
        };
        assert_eq!(code(user_id(&with_user_id("a b"))), Some(Code::InvalidParameter));
        assert_eq!(user_id(&with_user_id("user@example.com")).ok(), UserId::parse("user@example.com"));
    }

    #[test]
    fn options_request_is_a_preflight_only_with_the_headers_of_one() {
        let options = || {
            let mut options = request("");
            *options.method_mut() = Method::OPTIONS;
            options
        };
        let preflight = with_header(options(), "origin", "https://app.example.com");
        assert!(!is_cors_preflight(&options()) && !is_cors_preflight(&preflight));
        assert!(is_cors_preflight(&with_header(preflight, "access-control-request-method", "POST")));
    }
}
