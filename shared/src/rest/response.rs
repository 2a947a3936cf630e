//! Responses.

use http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::Body;
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::error::{ApiError, Code};

/// The response of a handler.
pub type Response = lambda_http::Response<lambda_http::Body>;

/// 200 with a JSON body.
///
/// # Errors
///
/// `INTERNAL` when the body cannot be serialized.
pub fn ok<T: Serialize>(body: &T) -> Result<Response, ApiError> {
    Ok(json_response(StatusCode::OK, serialize(body)?))
}

/// 201 with a JSON body, for a resource without an address.
///
/// # Errors
///
/// `INTERNAL` when the body cannot be serialized.
pub fn created<T: Serialize>(body: &T) -> Result<Response, ApiError> {
    Ok(json_response(StatusCode::CREATED, serialize(body)?))
}

/// 201 with a JSON body and the address of the new resource.
///
/// # Errors
///
/// `INTERNAL` when the body cannot be serialized, or the address is no header value.
pub fn created_at<T: Serialize>(location: &str, body: &T) -> Result<Response, ApiError> {
    replayed(location, serialize(body)?)
}

/// The 201 of an earlier request, with the body as it was then.
///
/// # Errors
///
/// `INTERNAL` when the address is no header value.
pub fn replayed(location: &str, body: String) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(location).map_err(ApiError::internal)?;
    let mut response = json_response(StatusCode::CREATED, body);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// 204, without a body.
#[must_use]
pub fn no_content() -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Keeps browsers from guessing a response's type, running or framing it, or storing it: the headers for an API that
/// serves JSON alone, as in the OWASP REST Security Cheat Sheet.
/// <https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers>
pub(super) fn add_security_headers(response: &mut Response) {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
}

/// The envelope of every error.
pub(super) fn error(error: &ApiError, request_id: &str) -> Response {
    let body = json!({ "error": error.to_json(), "request_id": request_id });
    let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, body.to_string());
    response.headers_mut().extend(error_header(error));
    response
}

/// `Allow` or `Retry-After`, from the details of the error.
fn error_header(error: &ApiError) -> Option<(HeaderName, HeaderValue)> {
    match error.code() {
        Code::MethodNotAllowed => {
            let methods: Vec<&str> = error.detail("allowed")?.as_array()?.iter().filter_map(Value::as_str).collect();
            Some((header::ALLOW, HeaderValue::from_str(&methods.join(", ")).ok()?))
        }
        Code::RateLimitExceeded | Code::ConnectionLimitExceeded => {
            Some((header::RETRY_AFTER, error.detail("retry_after_seconds")?.as_u64()?.into()))
        }
        _ => None,
    }
}

fn serialize<T: Serialize>(body: &T) -> Result<String, ApiError> {
    serde_json::to_string(body).map_err(ApiError::internal)
}

fn json_response(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::connection_limit_exceeded;

    fn json(response: &Response) -> Value {
        serde_json::from_slice(response.body()).expect("a JSON body")
    }

    #[test]
    fn created_resource_has_its_address() {
        let response = created_at("/api/v1/chats/chat_1", &json!({ "chat_id": "chat_1" })).expect("a response");
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()[header::LOCATION], "/api/v1/chats/chat_1");
        assert_eq!(json(&response), json!({ "chat_id": "chat_1" }));
    }

    #[test]
    fn replayed_body_is_sent_byte_by_byte() {
        let response = replayed("/api/v1/chats/chat_1", r#"{"b":1,  "a":2}"#.to_owned()).expect("a response");
        assert_eq!(response.body().as_ref(), br#"{"b":1,  "a":2}"#);
    }

    #[test]
    fn error_has_envelope_status_and_header() {
        let response = error(&connection_limit_exceeded(50), "r-1");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "10");
        let body = json(&response);
        assert_eq!((&body["error"]["code"], &body["request_id"]), (&"CONNECTION_LIMIT_EXCEEDED".into(), &"r-1".into()));
    }
}
