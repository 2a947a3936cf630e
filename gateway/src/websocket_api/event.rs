//! Events of the WebSocket API, for Lambda proxy integrations.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html>

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    close::Close,
    route::{CONNECT, DISCONNECT},
};
use crate::{
    connections::Peer,
    request_context::{API_ID, clf_time, generate_id},
    url_encoding::query_parameters,
};

/// Builds the events of one connection.
pub(crate) struct Events<'a> {
    pub(crate) stage: &'a str,
    pub(crate) peer: &'a Peer,
}

impl Events<'_> {
    /// The only event with headers and query string of the client.
    pub(super) fn connect(&self, request_id: &str, headers: &HeaderMap, query: Option<&str>) -> Value {
        let headers = headers
            .iter()
            .map(|(name, value)| (header_name(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let mut event = self.event(request_id, CONNECT, "CONNECT");
        put_multi_value(&mut event, "headers", "multiValueHeaders", headers);
        let parameters = query_parameters(query.unwrap_or_default());
        if !parameters.is_empty() {
            put_multi_value(
                &mut event,
                "queryStringParameters",
                "multiValueQueryStringParameters",
                parameters.into_iter(),
            );
        }
        event
    }

    pub(super) fn message(&self, request_id: &str, route_key: &str, body: &str) -> Value {
        let mut event = self.event(request_id, route_key, "MESSAGE");
        event["requestContext"]["messageId"] = generate_id().into();
        event["body"] = body.into();
        event
    }

    pub(super) fn disconnect(&self, request_id: &str, code: u16, reason: &str) -> Value {
        let mut event = self.event(request_id, DISCONNECT, "DISCONNECT");
        event["requestContext"]["disconnectStatusCode"] = code.into();
        event["requestContext"]["disconnectReason"] = reason.into();
        let headers =
            [("Host", self.peer.domain_name.as_str()), ("x-api-key", ""), ("X-Forwarded-For", ""), ("x-restapi", "")];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        put_multi_value(&mut event, "headers", "multiValueHeaders", headers);
        event
    }

    /// The event of any route, with minimal content.
    pub(crate) fn warm_up(&self, route_key: &str) -> Value {
        let request_id = generate_id();
        match route_key {
            CONNECT => {
                let mut headers = HeaderMap::new();
                headers.extend(self.peer.domain_name.parse().map(|host| (header::HOST, host)));
                self.connect(&request_id, &headers, None)
            }
            DISCONNECT => {
                let close = Close::abnormal();
                self.disconnect(&request_id, close.code, &close.reason)
            }
            route_key => self.message(&request_id, route_key, "{}"),
        }
    }

    fn event(&self, request_id: &str, route_key: &str, event_type: &str) -> Value {
        let peer = self.peer;
        let now = Timestamp::now();
        let mut identity = json!({ "sourceIp": peer.source_ip });
        if let Some(user_agent) = &peer.user_agent {
            identity["userAgent"] = user_agent.as_str().into();
        }
        json!({
            "requestContext": {
                "routeKey": route_key,
                "eventType": event_type,
                "extendedRequestId": request_id,
                "requestTime": clf_time(now),
                "messageDirection": "IN",
                "stage": self.stage,
                "connectedAt": peer.connected_at.as_millisecond(),
                "requestTimeEpoch": now.as_millisecond(),
                "identity": identity,
                "requestId": request_id,
                "domainName": peer.domain_name,
                "connectionId": peer.id,
                "apiId": API_ID,
            },
            "isBase64Encoded": false,
        })
    }
}

/// Puts the last value of each name under the key `single`, and all of them under `multi`.
fn put_multi_value(event: &mut Value, single: &str, multi: &str, pairs: impl Iterator<Item = (String, String)>) {
    let (mut last, mut all) = (Map::new(), Map::new());
    for (name, value) in pairs {
        if let Value::Array(values) = all.entry(name.clone()).or_insert_with(|| json!([])) {
            values.push(value.as_str().into());
        }
        last.insert(name, value.into());
    }
    event[single] = last.into();
    event[multi] = all.into();
}

/// The usual case of a header name. API Gateway keeps the case of the client, which [`HeaderMap`] loses.
fn header_name(name: &str) -> String {
    name.split('-')
        .map(|word| {
            if word == "websocket" {
                return "WebSocket".to_owned();
            }
            let (first, rest) = word.split_at_checked(1).unwrap_or(("", word));
            first.to_uppercase() + rest
        })
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;

    use super::*;

    fn peer() -> Peer {
        Peer {
            id: "L0SM9cOFvHcCIhw=".to_owned(),
            connected_at: Timestamp::UNIX_EPOCH,
            source_ip: "127.0.0.1".to_owned(),
            user_agent: Some("test".to_owned()),
            domain_name: "localhost:8000".to_owned(),
        }
    }

    fn parse(event: &Value) -> ApiGatewayWebsocketProxyRequest {
        serde_json::from_value(event.clone()).unwrap()
    }

    #[test]
    fn connect_event_has_headers_and_query() {
        let mut headers = HeaderMap::new();
        headers.append("sec-websocket-key", "k".parse().unwrap());
        headers.append("x-many", "1".parse().unwrap());
        headers.append("x-many", "2".parse().unwrap());
        let peer = peer();
        let event = Events { stage: "live", peer: &peer }.connect("r=", &headers, Some("a=1&a=2&user=%C3%A9%20b"));
        assert_eq!(event["headers"], json!({ "Sec-WebSocket-Key": "k", "X-Many": "2" }));
        assert_eq!(event["multiValueHeaders"]["X-Many"], json!(["1", "2"]));
        assert_eq!(event["queryStringParameters"], json!({ "a": "2", "user": "é b" }));
        assert_eq!(event["multiValueQueryStringParameters"], json!({ "a": ["1", "2"], "user": ["é b"] }));
        let event = parse(&event);
        assert_eq!(event.headers["x-many"], "2");
        assert_eq!(event.multi_value_query_string_parameters.all("a").unwrap(), ["1", "2"]);
        let context = event.request_context;
        assert_eq!(context.event_type.as_deref(), Some("CONNECT"));
        assert_eq!(context.route_key.as_deref(), Some("$connect"));
        assert_eq!(context.connection_id.as_deref(), Some("L0SM9cOFvHcCIhw="));
        assert_eq!(context.stage.as_deref(), Some("live"));
        assert_eq!(context.identity.source_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(context.identity.user_agent.as_deref(), Some("test"));
        assert_eq!(context.message_id, None);
    }

    #[test]
    fn connect_event_without_query_has_no_parameters() {
        let peer = peer();
        let event = Events { stage: "live", peer: &peer }.connect("r=", &HeaderMap::new(), None);
        assert!(event.get("queryStringParameters").is_none());
        assert!(event.get("multiValueQueryStringParameters").is_none());
    }

    #[test]
    fn message_event_has_body_and_no_headers() {
        let peer = peer();
        let event = Events { stage: "live", peer: &peer }.message("r=", "$default", "{}");
        assert!(event.get("headers").is_none());
        let event = parse(&event);
        assert_eq!(event.body.as_deref(), Some("{}"));
        assert!(!event.is_base64_encoded);
        assert!(event.request_context.message_id.is_some());
        assert_eq!(event.request_context.event_type.as_deref(), Some("MESSAGE"));
        assert_eq!(event.request_context.message_direction.as_deref(), Some("IN"));
    }

    #[test]
    fn disconnect_event_has_code_and_reason() {
        let peer = peer();
        let event = parse(&Events { stage: "live", peer: &peer }.disconnect("r=", 1001, "Going away"));
        assert_eq!(event.request_context.disconnect_status_code, Some(1001));
        assert_eq!(event.request_context.disconnect_reason.as_deref(), Some("Going away"));
        assert_eq!(event.request_context.event_type.as_deref(), Some("DISCONNECT"));
    }
}
