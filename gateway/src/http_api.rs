//! The HTTP API: route, event, invocation, response.

mod event;
mod response;
mod route;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, request};
use axum::response::Response;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tracing::info;

use crate::invoke::{InvokeError, Invoker};
use crate::stamp;
use crate::template::{HttpRoute, TemplateError};

pub(crate) use event::{Request, event, forwarded};
pub(crate) use response::{gateway as gateway_response, status_code};
use route::{Match, RouteTable};

/// The largest body that an HTTP API takes.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const MAX_BODY: usize = 10 * 1024 * 1024;
/// How much of a larger body is still read, so that its sender gets to read the refusal.
const MAX_DISCARDED: usize = 8 * MAX_BODY;

pub(crate) struct HttpApi {
    routes: RouteTable,
}

impl HttpApi {
    pub(crate) fn new(routes: Vec<HttpRoute>) -> Result<Self, TemplateError> {
        Ok(Self { routes: RouteTable::new(routes)? })
    }

    pub(crate) async fn handle(
        &self,
        invoker: &Invoker,
        parts: &request::Parts,
        body: Body,
        peer: SocketAddr,
    ) -> Response {
        let started = Instant::now();
        let request_id = stamp::id();
        let matched = self.routes.find(&parts.method, parts.uri.path());
        let (mut response, error) = match &matched {
            Some(matched) => respond(matched, invoker, parts, body, peer, &request_id).await,
            None => (response::gateway(StatusCode::NOT_FOUND, "Not Found"), None),
        };
        if let Ok(request_id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", request_id);
        }
        info!(
            target: "gateway",
            method = %parts.method,
            path = parts.uri.path(),
            route = matched.as_ref().map(|matched| matched.route_key),
            function = matched.as_ref().map(|matched| matched.function),
            status = response.status().as_u16(),
            duration_ms = millis(started),
            error,
            "request"
        );
        response
    }
}

pub(crate) fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The response, and what went wrong behind it.
async fn respond(
    matched: &Match<'_>,
    invoker: &Invoker,
    parts: &request::Parts,
    body: Body,
    peer: SocketAddr,
    request_id: &str,
) -> (Response, Option<String>) {
    let body = match read(body).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            return (response::gateway(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"), None);
        }
        Err(Unread::Broken) => return (response::gateway(StatusCode::BAD_REQUEST, "Bad Request"), None),
    };
    let headers = forwarded(&parts.headers, peer);
    let event = event(&Request {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &headers,
        body: &body,
        version: parts.version,
        source_ip: &peer.ip().to_string(),
        request_id,
        time: Timestamp::now(),
        route_key: matched.route_key,
        path_parameters: &matched.parameters,
    });
    match invoker.invoke(matched.function, &event, matched.timeout).await {
        Ok(answer) => match response::from_answer(&answer) {
            Some(response) => (response, None),
            None => (
                response::gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
                Some("the function's answer is not a proxy response".to_owned()),
            ),
        },
        Err(error @ InvokeError::Timeout(_)) => {
            (response::gateway(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"), Some(error.to_string()))
        }
        Err(error) => {
            (response::gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"), Some(error.to_string()))
        }
    }
}

enum Unread {
    TooLarge,
    Broken,
}

async fn read(body: Body) -> Result<Bytes, Unread> {
    let mut stream = body.into_data_stream();
    let mut read = Vec::new();
    let mut total = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        total += chunk.len();
        if total <= MAX_BODY {
            read.extend_from_slice(&chunk);
        } else if total > MAX_DISCARDED {
            break;
        }
    }
    if total > MAX_BODY { Err(Unread::TooLarge) } else { Ok(read.into()) }
}

/// The shorter of the route's timeout and the function's own.
pub(crate) fn patience(route: Duration, function: Duration) -> Duration {
    route.min(function)
}
