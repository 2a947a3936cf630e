//! What the tasks of a running generation share.

use std::sync::Arc;

use super::{fan_out::FanOut, message_stream::MessageStream, socket_writer::JoinAt, store::GenerationStore};
use crate::{
    auth::Authenticator,
    domain::{
        connection::{Connection, ConnectionGrant},
        error::ApiError,
        id::ConnectionId,
        time::Timestamp,
    },
    runtime::telemetry,
    storage::StorageError,
};

/// A running generation, owned by this process.
#[derive(Debug)]
pub(super) struct OwnedGeneration {
    /// The grant of the connection that asked for the generation.
    pub(super) grant: ConnectionGrant,
    pub(super) authenticator: Authenticator,
    pub(super) lease: Arc<dyn GenerationStore>,
    pub(super) fan_out: FanOut,
    pub(super) received_at: Timestamp,
    /// The estimated tokens of the request to the model.
    pub(super) input_tokens: u32,
}

impl OwnedGeneration {
    pub(super) fn stream(&self) -> &MessageStream {
        self.fan_out.stream()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.stream().now()
    }

    /// Adds every open connection of the chat that has no writer yet.
    pub(super) async fn add_open_connections(&self) {
        for connection in self.stream().open_connections().await {
            if !self.fan_out.has_writer(&connection.connection_id) {
                self.fan_out.add(connection, JoinAt::Start);
            }
        }
    }

    /// A connection of the chat; `None` when it is gone.
    pub(super) async fn find_connection(&self, socket: &ConnectionId) -> Result<Option<Connection>, StorageError> {
        let ConnectionGrant { tenant_id, chat_id, .. } = &self.grant;
        let connections = self.stream().sockets.of_chat(tenant_id, chat_id, self.now()).await?;
        Ok(connections.into_iter().find(|connection| connection.connection_id == *socket))
    }

    /// Logs an attempt that failed: the generation goes on.
    pub(super) fn log(&self, error: impl Into<ApiError>) {
        telemetry::log_attempt(&error.into(), &self.stream().request_id);
    }
}
