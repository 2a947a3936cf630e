//! The handler of `$disconnect`.

use shared::{error::ApiError, store::Connections, ws::SocketEvent};

/// Forgets the socket. API Gateway promises no `$disconnect` for every socket; one that was missed expires.
pub(crate) async fn handle(connections: Connections, event: SocketEvent) -> Result<(), ApiError> {
    Ok(connections.remove(&event.connection_id).await?)
}
