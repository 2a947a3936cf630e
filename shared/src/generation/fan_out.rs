//! The writers of one message stream, one per socket.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    message_stream::MessageStream,
    socket_writer::{self, JoinAt},
};
use crate::{
    domain::{connection::Connection, id::ConnectionId},
    runtime::telemetry,
};

/// The writers of one message stream. Dropping this stops them.
#[derive(Debug)]
pub(super) struct FanOut {
    stream: Arc<MessageStream>,
    writers: Mutex<HashMap<ConnectionId, WriterTask>>,
}

#[derive(Debug)]
struct WriterTask {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl FanOut {
    pub(super) fn new(stream: MessageStream) -> Self {
        Self { stream: Arc::new(stream), writers: Mutex::default() }
    }

    pub(super) fn stream(&self) -> &MessageStream {
        &self.stream
    }

    /// Starts a writer for a socket. The writer that it replaces stops first, between two posts: two writers of one socket
    /// would mix the order.
    pub(super) fn add(&self, connection: Connection, join_at: JoinAt) {
        let mut writers = self.writers();
        let id = connection.connection_id.clone();
        let previous = writers.remove(&id);
        let stop = CancellationToken::new();
        let (stream, stopped) = (self.stream.clone(), stop.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(telemetry::in_current_scope(async move {
            if let Some(previous) = previous {
                previous.stop.cancel();
                // A panic of the previous writer does not concern this one.
                let _ = previous.task.await;
            }
            socket_writer::write(&stream, &connection, join_at, &stopped).await;
        })));
        writers.insert(id, WriterTask { stop, task });
    }

    pub(super) fn has_writer(&self, socket: &ConnectionId) -> bool {
        self.writers().get(socket).is_some_and(|writer| !writer.task.is_finished())
    }

    /// Waits until every writer is done.
    pub(super) async fn finish(&self) {
        let writers = mem::take(&mut *self.writers());
        for writer in writers.into_values() {
            if writer.task.await.is_err() {
                tracing::error!(request_id = self.stream.request_id, "socket writer panicked");
            }
        }
    }

    fn writers(&self) -> MutexGuard<'_, HashMap<ConnectionId, WriterTask>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
