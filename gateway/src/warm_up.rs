//! Events that start every function before the first client needs it.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, Version, header};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    connections::Peer,
    http_api::HttpEvent,
    request_context::generate_id,
    template::{HttpRoute, WebSocketApi},
    websocket_api::Events,
};

/// The value of every path parameter.
const PARAMETER: &str = "warm-up";

/// For each function with a route: its name, and the event of its first route.
pub(crate) fn events(routes: &[HttpRoute], api: Option<&WebSocketApi>, address: SocketAddr) -> Vec<(String, Value)> {
    let mut events: Vec<(String, Value)> = Vec::new();
    for route in routes {
        if !events.iter().any(|(function, _)| *function == route.function.name) {
            events.push((route.function.name.clone(), http_event(&route.route_key, address)));
        }
    }
    if let Some(api) = api {
        let peer = Peer {
            id: generate_id(),
            connected_at: Timestamp::now(),
            source_ip: address.ip().to_string(),
            user_agent: None,
            domain_name: address.to_string(),
        };
        for (route_key, route) in &api.routes {
            if !events.iter().any(|(function, _)| *function == route.function.name) {
                let event = Events { stage: &api.stage, peer: &peer }.warm_up(route_key);
                events.push((route.function.name.clone(), event));
            }
        }
    }
    events
}

fn http_event(route_key: &str, address: SocketAddr) -> Value {
    let (method, pattern) = route_key.split_once(' ').unwrap_or(("ANY", "/"));
    let mut parameters = Vec::new();
    let path: Vec<_> = pattern
        .split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                parameters.push((name.trim_end_matches('+'), PARAMETER.to_owned()));
                PARAMETER
            }
            None => segment,
        })
        .collect();
    let mut headers = HeaderMap::new();
    headers.extend(address.to_string().parse().map(|host| (header::HOST, host)));
    let event = HttpEvent {
        method: &if method == "ANY" { Method::GET } else { method.parse().unwrap_or(Method::GET) },
        path: &path.join("/"),
        query: None,
        headers: &headers,
        body: b"",
        version: Version::HTTP_11,
        source_ip: &address.ip().to_string(),
        request_id: &generate_id(),
        time: Timestamp::now(),
        route_key,
        path_parameters: &parameters,
    };
    event.payload()
}
