//! The WebSocket handshake over HTTP.
//! <https://www.rfc-editor.org/rfc/rfc6455#section-4.2>

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::gateway_response::message_response;

/// A valid handshake request.
pub(super) struct Handshake {
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) upgrade: OnUpgrade,
    accept: String,
}

impl Handshake {
    pub(super) fn from_request(mut request: Request) -> Result<Self, Box<Response>> {
        let headers = request.headers();
        if !contains(headers, header::UPGRADE, "websocket") {
            let mut response = message_response(StatusCode::UPGRADE_REQUIRED, "Upgrade Required");
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            return Err(Box::new(response));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        let is_valid = request.method() == Method::GET
            && contains(headers, header::CONNECTION, "upgrade")
            && contains(headers, header::SEC_WEBSOCKET_VERSION, "13");
        match (key, request.extensions_mut().remove::<OnUpgrade>()) {
            (Some(accept), Some(upgrade)) if is_valid => Ok(Self {
                path: request.uri().path().to_owned(),
                query: request.uri().query().map(str::to_owned),
                headers: std::mem::take(request.headers_mut()),
                upgrade,
                accept,
            }),
            _ => Err(Box::new(message_response(StatusCode::BAD_REQUEST, "Bad Request"))),
        }
    }

    pub(super) fn switching_protocols(&self, protocol: Option<String>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.extend(HeaderValue::from_str(&self.accept).map(|accept| (header::SEC_WEBSOCKET_ACCEPT, accept)));
        if let Some(Ok(protocol)) = protocol.map(HeaderValue::try_from) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

fn contains(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}
