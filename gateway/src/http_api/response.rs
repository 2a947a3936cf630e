//! HTTP responses from the payloads of functions, payload format 2.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{gateway_response::json_response, proxy_response::status_code};

/// Headers that the gateway computes; it ignores those of the function.
const COMPUTED: [HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// `None` if the payload is malformed. As on AWS, format 2.0 has no `multiValueHeaders`.
pub(super) fn from_payload(payload: &[u8]) -> Option<Response> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    let Some(status) = payload.get("statusCode") else {
        // AWS infers a response with status 200 and the payload as its body.
        let body = match payload {
            Value::String(text) => text,
            other => other.to_string(),
        };
        return Some(json_response(StatusCode::OK, body));
    };
    let mut response = Response::new(body(&payload)?);
    *response.status_mut() = status_code(status)?;
    let headers = response.headers_mut();
    if let Some(given) = payload.get("headers").filter(|headers| !headers.is_null()) {
        for (name, value) in given.as_object()? {
            let name = HeaderName::try_from(name).ok()?;
            if !COMPUTED.contains(&name) {
                headers.insert(name, HeaderValue::try_from(text(value)?).ok()?);
            }
        }
    }
    if let Some(cookies) = payload.get("cookies").filter(|cookies| !cookies.is_null()) {
        for cookie in cookies.as_array()? {
            headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
        }
    }
    let has_body = payload.get("body").and_then(Value::as_str).is_some_and(|body| !body.is_empty());
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    }
    Some(response)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn body(payload: &Value) -> Option<Body> {
    match payload.get("body") {
        None | Some(Value::Null) => Some(Body::empty()),
        Some(Value::String(body)) if payload.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            STANDARD.decode(body).ok().map(Body::from)
        }
        Some(Value::String(body)) => Some(Body::from(body.clone())),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn read(payload: Value) -> Option<(Response<()>, Vec<u8>)> {
        let (parts, body) = from_payload(payload.to_string().as_bytes())?.into_parts();
        Some((Response::from_parts(parts, ()), to_bytes(body, usize::MAX).await.unwrap().to_vec()))
    }

    #[tokio::test]
    async fn proxy_response_sets_status_headers_cookies_and_body() {
        let (response, body) = read(json!({
            "statusCode": 201,
            "headers": { "Location": "/x", "X-Number": 7, "content-length": "999", "content-type": "application/json" },
            "multiValueHeaders": { "x-ignored": ["1"] },
            "cookies": ["a=1", "b=2"],
            "body": "{}",
        }))
        .await
        .unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["location"], "/x");
        assert_eq!(response.headers()["x-number"], "7");
        assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert!(!response.headers().contains_key("content-length"));
        assert!(!response.headers().contains_key("x-ignored"));
        assert_eq!(body, b"{}");
    }

    #[tokio::test]
    async fn base64_body_is_decoded() {
        let (_, body) = read(json!({ "statusCode": 200, "body": "/w==", "isBase64Encoded": true })).await.unwrap();
        assert_eq!(body, b"\xff");
    }

    #[tokio::test]
    async fn payload_without_status_code_becomes_the_body() {
        for (payload, expected) in [(json!({ "a": 1 }), r#"{"a":1}"#), (json!("hello"), "hello"), (json!([1]), "[1]")] {
            let (response, body) = read(payload).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(body, expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn body_without_content_type_is_plain_text() {
        let (response, _) = read(json!({ "statusCode": 200, "body": "x" })).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain;charset=utf-8");
    }

    #[test]
    fn malformed_payloads_are_refused() {
        for payload in [
            json!({ "statusCode": "many" }),
            json!({ "statusCode": 99 }),
            json!({ "statusCode": 200, "body": {} }),
            json!({ "statusCode": 200, "headers": [] }),
            json!({ "statusCode": 200, "headers": { "a b": "c" } }),
            json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }),
        ] {
            assert!(from_payload(payload.to_string().as_bytes()).is_none(), "{payload}");
        }
        assert!(from_payload(b"not json").is_none());
    }
}
