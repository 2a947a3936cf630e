//! The interface to a chat's connections: find, post, forget. Tests keep them in memory.

use std::fmt::Debug;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    domain::{
        connection::Connection,
        id::{ChatId, ConnectionId, TenantId},
        time::Timestamp,
    },
    storage::{ConnectionRepository, StorageError},
    websocket::{Event, PostError, Publisher},
};

/// How a chat's connections are found, posted to and forgotten.
#[derive(Clone, Debug)]
pub struct ChatConnections {
    /// Where they are stored.
    pub connections: ConnectionRepository,
    /// How events reach them.
    pub publisher: Publisher,
}

/// What a generation needs of its chat's connections.
pub(super) trait Sockets: Debug + Send + Sync {
    /// The open connections of a chat.
    fn of_chat<'a>(
        &'a self,
        tenant: &'a TenantId,
        chat: &'a ChatId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Connection>, StorageError>>;

    /// Whether a socket has had its first event; `None` when it is gone.
    fn is_established<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<Option<bool>, StorageError>>;

    /// Posts one event, in one attempt.
    fn post<'a>(&'a self, socket: &'a ConnectionId, event: &'a Event<'a>) -> BoxFuture<'a, Result<(), PostError>>;

    /// Whether API Gateway has refused a post of this process a moment ago.
    fn has_refused_posts(&self) -> bool;

    /// Removes a connection that is gone, and releases its slot.
    fn forget<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<(), StorageError>>;
}

impl Sockets for ChatConnections {
    fn of_chat<'a>(
        &'a self,
        tenant: &'a TenantId,
        chat: &'a ChatId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Connection>, StorageError>> {
        self.connections.list_by_chat(tenant, chat, now).boxed()
    }

    fn is_established<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<Option<bool>, StorageError>> {
        self.connections.is_established(connection).boxed()
    }

    fn post<'a>(&'a self, socket: &'a ConnectionId, event: &'a Event<'a>) -> BoxFuture<'a, Result<(), PostError>> {
        self.publisher.post(socket, event).boxed()
    }

    fn has_refused_posts(&self) -> bool {
        self.publisher.has_refused_posts()
    }

    fn forget<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<(), StorageError>> {
        self.connections.end(connection).boxed()
    }
}
