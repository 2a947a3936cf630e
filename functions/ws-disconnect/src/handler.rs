//! The handler of `$disconnect`.

use shared::{domain::error::ApiError, runtime::telemetry, storage::ConnectionRepository, websocket::SocketEvent};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) connections: ConnectionRepository,
}

/// Forgets the socket and gives its lease back. API Gateway promises no `$disconnect` for every socket; one that was
/// missed is found when its tenant needs the lease.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    let Some(connection) = app.connections.delete_by_id(&event.connection_id).await? else { return Ok(()) };
    telemetry::note_tenant(&connection.grant.tenant_id);
    Ok(app.connections.release(&connection).await?)
}
