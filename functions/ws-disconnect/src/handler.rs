//! The handler of `$disconnect`.

use shared::{domain::error::ApiError, storage::Connections, websocket::SocketEvent};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) connections: Connections,
}

/// Forgets the socket and gives its lease back. API Gateway promises no `$disconnect` for every socket; one that was
/// missed is found when its tenant needs the lease.
pub(crate) async fn handle(app: App, event: SocketEvent) -> Result<(), ApiError> {
    Ok(app.connections.forget(&event.connection_id).await?)
}
