//! The event of an HTTP API, payload format 2.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! The path comes percent-decoded ("API Gateway decodes URL-encoded request parameters before passing them to your backend
//! integration", <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>; captures of
//! live requests show the same of `rawPath`), the query string both raw and decoded.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue, Method, Version, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::encoding::{decode, query_parameters};
use crate::stamp;

pub(crate) const API_ID: &str = "local";

/// Headers between a client and the gateway, which no function sees.
const HOP_BY_HOP: [&str; 5] = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade"];

pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) version: Version,
    pub(crate) source_ip: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) route_key: &'a str,
    pub(crate) path_parameters: &'a [(&'a str, String)],
}

/// The headers of a client together with those that the gateway adds.
pub(crate) fn forwarded(headers: &HeaderMap, peer: SocketAddr) -> HeaderMap {
    let mut headers = headers.clone();
    let chain = match headers.get("x-forwarded-for").map(HeaderValue::to_str) {
        Some(Ok(chain)) => format!("{chain}, {}", peer.ip()),
        _ => peer.ip().to_string(),
    };
    if let Ok(chain) = HeaderValue::from_str(&chain) {
        headers.insert("x-forwarded-for", chain);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers
}

pub(crate) fn event(request: &Request<'_>) -> Value {
    let host = text(request.headers, header::HOST).unwrap_or_default();
    let path = decode(request.path);
    let mut http = json!({
        "method": request.method.as_str(),
        "path": path,
        "protocol": format!("{:?}", request.version),
        "sourceIp": request.source_ip,
    });
    if let Some(user_agent) = text(request.headers, header::USER_AGENT) {
        http["userAgent"] = user_agent.into();
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": request.route_key,
        "rawPath": path,
        "rawQueryString": request.query.unwrap_or_default(),
        "headers": joined_headers(request.headers),
        "requestContext": {
            "accountId": stamp::ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": host,
            "domainPrefix": host.split(['.', ':']).next().unwrap_or_default(),
            "http": http,
            "requestId": request.request_id,
            "routeKey": request.route_key,
            "stage": "$default",
            "time": stamp::log_time(request.time),
            "timeEpoch": request.time.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    let cookies = cookies(request.headers);
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    let parameters = query_parameters(request.query.unwrap_or_default());
    if !parameters.is_empty() {
        event["queryStringParameters"] = joined(parameters).into();
    }
    if !request.path_parameters.is_empty() {
        let parameters = request.path_parameters.iter().map(|(name, value)| (*name, value.as_str()));
        event["pathParameters"] = parameters.collect();
    }
    if !request.body.is_empty() {
        let (body, is_base64_encoded) = body(request.headers, request.body);
        event["body"] = body.into();
        event["isBase64Encoded"] = is_base64_encoded.into();
    }
    event
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn joined_headers(headers: &HeaderMap) -> Map<String, Value> {
    joined(
        headers
            .iter()
            .filter(|(name, _)| **name != header::COOKIE && !HOP_BY_HOP.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())),
    )
}

/// Values of one name are joined by commas.
fn joined(pairs: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        map.entry(name)
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert(value);
    }
    map.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| {
            let value = String::from_utf8_lossy(value.as_bytes());
            value.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

fn body(headers: &HeaderMap, body: &[u8]) -> (String, bool) {
    let content_type = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    match str::from_utf8(body) {
        Ok(text) if is_text(&content_type) => (text.to_owned(), false),
        _ => (STANDARD.encode(body), true),
    }
}

/// Forms are not text to an HTTP API.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty()
        || essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(essence.as_str(), "application/json" | "application/javascript" | "application/xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Request<'a> {
        Request {
            method: &Method::POST,
            path: "/chats/a%20b",
            query: Some("q=1&q=2&r=%C3%A9"),
            headers,
            body,
            version: Version::HTTP_11,
            source_ip: "127.0.0.1",
            request_id: "id=",
            time: Timestamp::UNIX_EPOCH,
            route_key: "POST /chats/{id}",
            path_parameters: &[],
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn an_event_has_the_form_of_payload_format_2() {
        let headers = headers(&[
            ("host", "localhost:8000"),
            ("user-agent", "test"),
            ("x-many", "one"),
            ("x-many", "two"),
            ("cookie", "a=1; b=2"),
            ("cookie", "c=3"),
            ("connection", "keep-alive"),
        ]);
        let mut request = request(&headers, b"");
        let parameters = [("id", "a b".to_owned())];
        request.path_parameters = &parameters;
        assert_eq!(
            event(&request),
            json!({
                "version": "2.0",
                "routeKey": "POST /chats/{id}",
                "rawPath": "/chats/a b",
                "rawQueryString": "q=1&q=2&r=%C3%A9",
                "cookies": ["a=1", "b=2", "c=3"],
                "headers": { "host": "localhost:8000", "user-agent": "test", "x-many": "one,two" },
                "queryStringParameters": { "q": "1,2", "r": "é" },
                "pathParameters": { "id": "a b" },
                "requestContext": {
                    "accountId": "000000000000",
                    "apiId": "local",
                    "domainName": "localhost:8000",
                    "domainPrefix": "localhost",
                    "http": {
                        "method": "POST",
                        "path": "/chats/a b",
                        "protocol": "HTTP/1.1",
                        "sourceIp": "127.0.0.1",
                        "userAgent": "test",
                    },
                    "requestId": "id=",
                    "routeKey": "POST /chats/{id}",
                    "stage": "$default",
                    "time": "01/Jan/1970:00:00:00 +0000",
                    "timeEpoch": 0,
                },
                "isBase64Encoded": false,
            })
        );
    }

    #[test]
    fn what_a_request_does_not_have_is_left_out() {
        let headers = HeaderMap::new();
        let mut request = request(&headers, b"");
        request.query = None;
        let event = event(&request);
        for key in ["cookies", "queryStringParameters", "pathParameters", "body"] {
            assert!(event.get(key).is_none(), "{key}");
        }
        assert!(event["requestContext"]["http"].get("userAgent").is_none());
        assert_eq!(event["rawQueryString"], "");
    }

    #[test]
    fn bodies_are_text_or_base64() {
        for (content_type, body, expected, is_base64_encoded) in [
            ("application/json; charset=utf-8", &b"{}"[..], "{}", false),
            ("application/problem+json", b"{}", "{}", false),
            ("text/plain", "é".as_bytes(), "é", false),
            ("text/plain", b"\xff", "/w==", true),
            ("application/octet-stream", b"{}", "e30=", true),
            ("application/x-www-form-urlencoded", b"a=b", "YT1i", true),
        ] {
            let headers = headers(&[("content-type", content_type)]);
            let event = event(&request(&headers, body));
            assert_eq!(event["body"], expected, "{content_type}");
            assert_eq!(event["isBase64Encoded"], is_base64_encoded, "{content_type}");
        }
    }

    #[test]
    fn the_gateway_adds_where_a_request_came_from() {
        let peer = "10.0.0.7:1234".parse().unwrap();
        assert_eq!(forwarded(&HeaderMap::new(), peer)["x-forwarded-for"], "10.0.0.7");
        let chained = forwarded(&headers(&[("x-forwarded-for", "1.2.3.4")]), peer);
        assert_eq!(chained["x-forwarded-for"], "1.2.3.4, 10.0.0.7");
    }
}
