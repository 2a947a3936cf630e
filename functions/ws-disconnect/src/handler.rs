//! The handler of `$disconnect`.

use lambda_runtime::Error;
use shared::{
    domain::error::ApiError,
    runtime::{bootstrap::Clients, config::WsDisconnectConfig, deadline::within_deadline, telemetry},
    storage::ConnectionRepository,
    websocket::SocketEvent,
};

#[derive(Clone, Debug)]
pub(crate) struct App {
    connections: ConnectionRepository,
}

impl App {
    pub(crate) async fn from_config(config: WsDisconnectConfig, clients: Clients) -> Result<Self, Error> {
        Ok(Self { connections: ConnectionRepository::new(clients.dynamodb(), config.connections_table) })
    }
}

/// Removes the connection and releases its slot. API Gateway does not promise `$disconnect` for every socket: a
/// connection that was missed is found when its tenant needs the slot. A frame that a client sends to this route is
/// ignored.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    if !event.is_lifecycle() {
        return Ok(());
    }
    within_deadline(Box::pin(async {
        let Some(connection) = app.connections.delete_by_id(&event.connection_id).await? else { return Ok(()) };
        telemetry::note_tenant(&connection.grant.tenant_id);
        Ok(app.connections.release(&connection).await?)
    }))
    .await
}
