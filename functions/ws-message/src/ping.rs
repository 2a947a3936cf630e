//! `ping`: shows a client that its connection works.

use shared::{
    domain::{connection::Connection, error::ApiError},
    websocket::{Body, SocketEvent},
};

use crate::app::App;

pub(crate) async fn ping(app: &App, event: &SocketEvent, connection: &Connection) -> Result<(), ApiError> {
    app.post(&event.connection_id, Some(&connection.grant.chat_id), Body::Pong, &event.request_id).await;
    Ok(())
}
