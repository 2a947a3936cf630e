//! The events that make every function start before someone waits for it.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, Version, header};
use jiff::Timestamp;
use serde_json::Value;

use crate::connections::Peer;
use crate::http_api::{Request, event};
use crate::template::{HttpRoute, WebSocketApi};
use crate::{stamp, websocket_api};

/// What stands for the value of a path parameter.
const VALUE: &str = "warm-up";

/// For each function that has a route its name and an event as that route would send it.
pub(crate) fn events(routes: &[HttpRoute], api: Option<&WebSocketApi>, address: SocketAddr) -> Vec<(String, Value)> {
    let mut events: Vec<(String, Value)> = Vec::new();
    for route in routes {
        if !events.iter().any(|(function, _)| *function == route.function.name) {
            events.push((route.function.name.clone(), http_event(&route.route_key, address)));
        }
    }
    if let Some(api) = api {
        let peer = Peer {
            id: stamp::id(),
            connected_at: Timestamp::now(),
            source_ip: address.ip().to_string(),
            user_agent: None,
            domain_name: address.to_string(),
        };
        for (route_key, route) in &api.routes {
            if !events.iter().any(|(function, _)| *function == route.function.name) {
                let event = websocket_api::warm_up_event(&api.stage, route_key, &peer);
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
                parameters.push((name.trim_end_matches('+'), VALUE.to_owned()));
                VALUE
            }
            None => segment,
        })
        .collect();
    let mut headers = HeaderMap::new();
    headers.extend(address.to_string().parse().map(|host| (header::HOST, host)));
    event(&Request {
        method: &if method == "ANY" { Method::GET } else { method.parse().unwrap_or(Method::GET) },
        path: &path.join("/"),
        query: None,
        headers: &headers,
        body: b"",
        version: Version::HTTP_11,
        source_ip: &address.ip().to_string(),
        request_id: &stamp::id(),
        time: Timestamp::now(),
        route_key,
        path_parameters: &parameters,
    })
}
