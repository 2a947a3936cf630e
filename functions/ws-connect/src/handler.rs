//! The handler of `$connect`.

use shared::{
    domain::{connection::Connection, error::ApiError, time::Timestamp},
    runtime::{after_response, deadline::within_deadline, telemetry},
    websocket::SocketEvent,
};

use crate::{app::App, grant, greeting};

/// Opens the connection, or refuses the handshake. The socket exists only after the response, and is greeted then.
/// A frame that a client sends to this route is ignored: it would open a second connection on the socket.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    if !event.is_lifecycle() {
        return Ok(());
    }
    let connection = within_deadline(Box::pin(open(&app, &event))).await?;
    after_response::spawn(telemetry::background_task("connection_established", async move {
        greeting::greet_or_close(&app, &connection, &event.request_id).await
    }));
    Ok(())
}

async fn open(app: &App, event: &SocketEvent) -> Result<Connection, ApiError> {
    let now = Timestamp::now();
    let (grant, limits) = grant::obtain(app, event, now).await?;
    let connection = Connection::open(event.connection_id.clone(), grant, now);
    app.slots.take(&connection, limits.of_connections(app.limits), now).await?;
    if let Err(error) = app.connections.put(&connection).await {
        // The write may have succeeded all the same. If this fails too, the slot is found when its tenant needs it.
        app.connections.end(&connection).await?;
        return Err(error.into());
    }
    Ok(connection)
}
