//! Putting a response together.

use http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::Body;
use serde::Serialize;
use serde_json::{Value, json};

use super::Response;
use crate::domain::error::{ApiError, Code};

/// 200 with a JSON body.
///
/// # Errors
///
/// `INTERNAL` when the body cannot be written as JSON.
pub fn ok<T: Serialize>(body: &T) -> Result<Response, ApiError> {
    let text = serde_json::to_string(body).map_err(ApiError::internal)?;
    Ok(json_response(StatusCode::OK, text))
}

/// 201 with a JSON body and the address of what was made.
///
/// # Errors
///
/// `INTERNAL` when the body cannot be written as JSON.
pub fn created<T: Serialize>(location: &str, body: &T) -> Result<Response, ApiError> {
    created_before(location, serde_json::to_string(body).map_err(ApiError::internal)?)
}

/// 201 with a JSON body, for what has no address.
///
/// # Errors
///
/// `INTERNAL` when the body cannot be written as JSON.
pub fn made<T: Serialize>(body: &T) -> Result<Response, ApiError> {
    let text = serde_json::to_string(body).map_err(ApiError::internal)?;
    Ok(json_response(StatusCode::CREATED, text))
}

/// The 201 that was answered when something was made, once more.
///
/// # Errors
///
/// `INTERNAL` when the address is not one.
pub fn created_before(location: &str, body: String) -> Result<Response, ApiError> {
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

/// What keeps a browser from doing more with an answer than reading it: from guessing at its type, running or framing
/// it, or keeping it. For an API that serves JSON alone, as in the OWASP REST Security Cheat Sheet.
/// <https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers>
pub(super) fn guard(response: &mut Response) {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
}

/// The envelope of all errors.
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

fn json_response(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
