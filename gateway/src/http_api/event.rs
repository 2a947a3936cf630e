//! Events of the HTTP API, payload format 2.0.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! The path is percent-decoded: "API Gateway decodes URL-encoded request parameters before passing them to your backend
//! integration" (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>), and
//! captured events show the same for `rawPath`. The query string is present both raw and decoded.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method, Version, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    request_context::{ACCOUNT_ID, API_ID, clf_time},
    url_encoding::{percent_decode, query_parameters},
};

/// Headers of the connection between client and gateway, which events do not contain.
const HOP_BY_HOP: [&str; 5] = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// What an event is built from.
pub(crate) struct HttpEvent<'a> {
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

impl HttpEvent<'_> {
    pub(crate) fn payload(&self) -> Value {
        let host = text(self.headers, header::HOST).unwrap_or_default();
        let path = percent_decode(self.path);
        let mut http = json!({
            "method": self.method.as_str(),
            "path": path,
            "protocol": format!("{:?}", self.version),
            "sourceIp": self.source_ip,
        });
        if let Some(user_agent) = text(self.headers, header::USER_AGENT) {
            http["userAgent"] = user_agent.into();
        }
        let mut event = json!({
            "version": "2.0",
            "routeKey": self.route_key,
            "rawPath": path,
            "rawQueryString": self.query.unwrap_or_default(),
            "headers": joined_headers(self.headers),
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": API_ID,
                "domainName": host,
                "domainPrefix": host.split(['.', ':']).next().unwrap_or_default(),
                "http": http,
                "requestId": self.request_id,
                "routeKey": self.route_key,
                "stage": "$default",
                "time": clf_time(self.time),
                "timeEpoch": self.time.as_millisecond(),
            },
            "isBase64Encoded": false,
        });
        let cookies = cookies(self.headers);
        if !cookies.is_empty() {
            event["cookies"] = cookies.into();
        }
        let parameters = query_parameters(self.query.unwrap_or_default());
        if !parameters.is_empty() {
            event["queryStringParameters"] = joined(parameters).into();
        }
        if !self.path_parameters.is_empty() {
            let parameters = self.path_parameters.iter().map(|(name, value)| (*name, value.as_str()));
            event["pathParameters"] = parameters.collect();
        }
        if !self.body.is_empty() {
            let (body, is_base64_encoded) = body(self.headers, self.body);
            event["body"] = body.into();
            event["isBase64Encoded"] = is_base64_encoded.into();
        }
        event
    }
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

/// Joins the values of a name by commas.
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

/// API Gateway encodes forms in base64, like binary types.
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

    fn event<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> HttpEvent<'a> {
        HttpEvent {
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
    fn event_has_payload_format_2() {
        let headers = headers(&[
            ("host", "localhost:8000"),
            ("user-agent", "test"),
            ("x-many", "one"),
            ("x-many", "two"),
            ("cookie", "a=1; b=2"),
            ("cookie", "c=3"),
            ("connection", "keep-alive"),
        ]);
        let mut event = event(&headers, b"");
        let parameters = [("id", "a b".to_owned())];
        event.path_parameters = &parameters;
        assert_eq!(
            event.payload(),
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
    fn absent_values_are_omitted() {
        let headers = HeaderMap::new();
        let mut event = event(&headers, b"");
        event.query = None;
        let payload = event.payload();
        for key in ["cookies", "queryStringParameters", "pathParameters", "body"] {
            assert!(payload.get(key).is_none(), "{key}");
        }
        assert!(payload["requestContext"]["http"].get("userAgent").is_none());
        assert_eq!(payload["rawQueryString"], "");
    }

    #[test]
    fn text_bodies_are_plain_and_others_are_base64() {
        for (content_type, body, expected, is_base64_encoded) in [
            ("application/json; charset=utf-8", &b"{}"[..], "{}", false),
            ("application/problem+json", b"{}", "{}", false),
            ("text/plain", "é".as_bytes(), "é", false),
            ("text/plain", b"\xff", "/w==", true),
            ("application/octet-stream", b"{}", "e30=", true),
            ("application/x-www-form-urlencoded", b"a=b", "YT1i", true),
        ] {
            let headers = headers(&[("content-type", content_type)]);
            let payload = event(&headers, body).payload();
            assert_eq!(payload["body"], expected, "{content_type}");
            assert_eq!(payload["isBase64Encoded"], is_base64_encoded, "{content_type}");
        }
    }
}
