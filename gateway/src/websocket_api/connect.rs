//! Handles a request to connect: handshake, `$connect`, and then the socket.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::Request,
    http::{StatusCode, header},
    response::Response,
};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{api::WebSocketApi, close::Close, handshake::Handshake, socket};
use crate::{
    connections::{Connection, Peer},
    gateway_response::message_response,
    request_context::generate_id,
};

impl WebSocketApi {
    /// Invokes `$connect`, and opens the connection if the function accepts it.
    pub(crate) async fn connect(self: Arc<Self>, request: Request, source: SocketAddr) -> Response {
        let handshake = match Handshake::from_request(request) {
            Ok(handshake) => handshake,
            Err(rejection) => return *rejection,
        };
        let (sender, response) = oneshot::channel();
        let tasks = self.tasks.clone();
        // A separate task: this future is dropped if the client leaves during $connect, but $disconnect must follow.
        tasks.spawn(async move { self.open(handshake, source, sender).await });
        let unavailable = || message_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        response.await.unwrap_or_else(|_| unavailable())
    }

    async fn open(self: Arc<Self>, handshake: Handshake, source: SocketAddr, response: oneshot::Sender<Response>) {
        let text =
            |name| handshake.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let peer = Peer {
            id: generate_id(),
            connected_at: Timestamp::now(),
            source_ip: source.ip().to_string(),
            user_agent: text(header::USER_AGENT),
            domain_name: text(header::HOST).unwrap_or_default(),
        };
        let shutdown = self.shutdown.clone();
        let Some(result) = shutdown.run_until_cancelled(self.invoke_connect(&handshake, &peer, source)).await else {
            return;
        };
        let protocol = match result {
            Ok(protocol) => protocol,
            Err(rejection) => {
                let _ = response.send(rejection);
                return;
            }
        };
        let _ = response.send(handshake.switching_protocols(protocol));
        let (connection, frames) = Connection::new(peer, self.limits.outgoing);
        match handshake.upgrade.await {
            Ok(upgraded) => socket::run(self, upgraded, connection, frames).await,
            Err(_) => self.invoke_disconnect(&connection.peer, &Close::abnormal()).await,
        }
    }
}
