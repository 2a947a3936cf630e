//! The HTTP API: selects a route, reads the body, invokes the integration, and logs the request.

mod body;
mod event;
mod response;
mod route;

use std::{net::SocketAddr, time::Instant};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, request},
    response::Response,
};
use body::BodyError;
use jiff::Timestamp;
use tracing::info;

use crate::{
    access_log::{TARGET, elapsed_ms},
    forwarded_headers::add_forwarded,
    gateway_response::message_response,
    invoke::{InvokeError, Invoker},
    request_context::generate_id,
    template::{HttpRoute, TemplateError},
};
pub(crate) use event::HttpEvent;
use route::{Match, RouteTable};

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
        source: SocketAddr,
    ) -> Response {
        let started = Instant::now();
        let request_id = generate_id();
        let matched = self.routes.select(&parts.method, parts.uri.path());
        let (mut response, error) = match &matched {
            Some(matched) => match integrate(matched, invoker, parts, body, source, &request_id).await {
                Ok(response) => (response, None),
                Err(error) => (error.response(), error.cause()),
            },
            None => (message_response(StatusCode::NOT_FOUND, "Not Found"), None),
        };
        if let Ok(request_id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", request_id);
        }
        info!(
            target: TARGET,
            method = %parts.method,
            path = parts.uri.path(),
            route = matched.as_ref().map(|matched| matched.route_key),
            function = matched.as_ref().map(|matched| matched.function),
            status = response.status().as_u16(),
            duration_ms = elapsed_ms(started),
            error,
            "request completed"
        );
        response
    }
}

enum IntegrationError {
    Body(BodyError),
    Invoke(InvokeError),
}

impl IntegrationError {
    fn response(&self) -> Response {
        match self {
            Self::Body(BodyError::TooLarge) => {
                message_response(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
            }
            Self::Body(BodyError::Incomplete) => message_response(StatusCode::BAD_REQUEST, "Bad Request"),
            Self::Invoke(InvokeError::Timeout(_)) => {
                message_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
            Self::Invoke(_) => message_response(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        }
    }

    /// For the log. The status alone explains an error of the client.
    fn cause(&self) -> Option<String> {
        match self {
            Self::Body(_) => None,
            Self::Invoke(error) => Some(error.to_string()),
        }
    }
}

async fn integrate(
    matched: &Match<'_>,
    invoker: &Invoker,
    parts: &request::Parts,
    body: Body,
    source: SocketAddr,
    request_id: &str,
) -> Result<Response, IntegrationError> {
    let body = body::read(body).await.map_err(IntegrationError::Body)?;
    let event = HttpEvent {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &add_forwarded(&parts.headers, source),
        body: &body,
        version: parts.version,
        source_ip: &source.ip().to_string(),
        request_id,
        time: Timestamp::now(),
        route_key: matched.route_key,
        path_parameters: &matched.parameters,
    };
    let invoked = invoker.invoke(matched.function, &event.payload(), matched.timeout).await;
    let payload = invoked.map_err(IntegrationError::Invoke)?;
    response::from_payload(&payload).ok_or(IntegrationError::Invoke(InvokeError::MalformedResponse))
}
