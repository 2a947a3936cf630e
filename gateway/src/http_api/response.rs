//! A function's answer as an HTTP response, payload format 2.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Headers that follow from the body and the connection, not from what a function says.
const COMPUTED: [HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// A response of the gateway's own.
pub(crate) fn gateway(status: StatusCode, message: &str) -> Response {
    json_response(status, json!({ "message": message }).to_string())
}

fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The response that a function's answer stands for; none if it is malformed. Like AWS, this knows no
/// `multiValueHeaders` in format 2.0.
pub(super) fn from_answer(answer: &[u8]) -> Option<Response> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let Some(status) = answer.get("statusCode") else {
        // AWS infers a response from an answer without a status.
        let body = match answer {
            Value::String(text) => text,
            other => other.to_string(),
        };
        return Some(json_response(StatusCode::OK, body));
    };
    let mut response = Response::new(body(&answer)?);
    *response.status_mut() = status_code(status)?;
    let headers = response.headers_mut();
    if let Some(given) = answer.get("headers").filter(|headers| !headers.is_null()) {
        for (name, value) in given.as_object()? {
            let name = HeaderName::try_from(name).ok()?;
            if !COMPUTED.contains(&name) {
                headers.insert(name, HeaderValue::try_from(text(value)?).ok()?);
            }
        }
    }
    if let Some(cookies) = answer.get("cookies").filter(|cookies| !cookies.is_null()) {
        for cookie in cookies.as_array()? {
            headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
        }
    }
    let has_body = answer.get("body").and_then(Value::as_str).is_some_and(|body| !body.is_empty());
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    }
    Some(response)
}

/// A status as a number, or as the text of one.
pub(crate) fn status_code(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    StatusCode::from_u16(u16::try_from(number).ok()?).ok().filter(|status| status.as_u16() >= 200)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn body(answer: &Value) -> Option<Body> {
    match answer.get("body") {
        None | Some(Value::Null) => Some(Body::empty()),
        Some(Value::String(body)) if answer.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            STANDARD.decode(body).ok().map(Body::from)
        }
        Some(Value::String(body)) => Some(Body::from(body.clone())),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn read(answer: Value) -> Option<(Response<()>, Vec<u8>)> {
        let (parts, body) = from_answer(answer.to_string().as_bytes())?.into_parts();
        Some((Response::from_parts(parts, ()), to_bytes(body, usize::MAX).await.unwrap().to_vec()))
    }

    #[tokio::test]
    async fn a_proxy_response_is_taken_as_it_is() {
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
    async fn base64_is_decoded() {
        let (_, body) = read(json!({ "statusCode": 200, "body": "/w==", "isBase64Encoded": true })).await.unwrap();
        assert_eq!(body, b"\xff");
    }

    #[tokio::test]
    async fn an_answer_without_a_status_is_a_json_body() {
        for (answer, expected) in [(json!({ "a": 1 }), r#"{"a":1}"#), (json!("hello"), "hello"), (json!([1]), "[1]")] {
            let (response, body) = read(answer).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(body, expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_body_without_a_type_is_text() {
        let (response, _) = read(json!({ "statusCode": 200, "body": "x" })).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain;charset=utf-8");
    }

    #[test]
    fn malformed_answers_are_none() {
        for answer in [
            json!({ "statusCode": "many" }),
            json!({ "statusCode": 99 }),
            json!({ "statusCode": 200, "body": {} }),
            json!({ "statusCode": 200, "headers": [] }),
            json!({ "statusCode": 200, "headers": { "a b": "c" } }),
            json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }),
        ] {
            assert!(from_answer(answer.to_string().as_bytes()).is_none(), "{answer}");
        }
        assert!(from_answer(b"not json").is_none());
    }
}
