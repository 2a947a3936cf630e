//! The writers of one answer, a socket each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    socket_writer::{self, StartAt},
    text_buffer::TextBuffer,
};
use crate::{
    domain::{
        connection::Connection,
        id::{ChatId, ConnectionId, MessageId, TenantId},
        message::Message,
        time::Timestamp,
    },
    runtime::{retry::retry_for, telemetry},
    storage::{ConnectionRepository, GenerationLease},
    websocket::Publisher,
};

/// How long it is tried to find the sockets of a chat: they hear nothing of the answer otherwise.
const FINDING: Duration = Duration::from_secs(10);

/// How sockets are found, reached and forgotten.
#[derive(Clone, Debug)]
pub struct ChatConnections {
    /// Where they are noted.
    pub connections: ConnectionRepository,
    /// How they are reached.
    pub publisher: Publisher,
}

/// One answer, as its writers tell of it.
#[derive(Debug)]
pub(super) struct FanOutContext {
    pub(super) sockets: ChatConnections,
    pub(super) chat_id: ChatId,
    /// The message that is answered, to be acknowledged; none where an answer is made anew.
    pub(super) message: Option<Message>,
    pub(super) answer: GenerationInfo,
    /// The id under which errors are logged.
    pub(super) request_id: String,
    pub(super) buffer: TextBuffer,
    /// What gives the right to tell of a running answer.
    pub(super) lease: Option<Arc<GenerationLease>>,
}

/// Which answer it is.
#[derive(Clone, Debug)]
pub(super) struct GenerationInfo {
    pub(super) message_id: MessageId,
    pub(super) seq: u32,
    pub(super) in_reply_to: MessageId,
    pub(super) replaces: Option<MessageId>,
    pub(super) model: String,
}

/// The writers of one answer. Dropping this ends them.
#[derive(Debug)]
pub(super) struct FanOut {
    context: Arc<FanOutContext>,
    running: Mutex<HashMap<ConnectionId, Running>>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl ChatConnections {
    /// The open sockets of a chat; none if they cannot be found, which is logged.
    pub(super) async fn of_chat(&self, tenant: &TenantId, chat: &ChatId, request_id: &str) -> Vec<Connection> {
        let find = async || Ok(self.connections.list_by_chat(tenant, chat, Timestamp::now()).await?);
        retry_for(FINDING, find).await.unwrap_or_else(|error| {
            telemetry::log_cause(&error, request_id);
            Vec::new()
        })
    }
}

impl FanOutContext {
    /// Whether the answer is still this process's to tell of. A process may have been stopped for so long that someone
    /// else has ended it. What has ended is anyone's to tell of.
    pub(super) fn is_held(&self) -> bool {
        let held = || self.lease.as_ref().is_none_or(|lease| lease.expires_at() > Timestamp::now());
        held() || self.buffer.has_ended()
    }
}

impl FanOut {
    pub(super) fn new(context: FanOutContext) -> Self {
        Self { context: Arc::new(context), running: Mutex::default() }
    }

    pub(super) fn context(&self) -> &FanOutContext {
        &self.context
    }

    /// Gives a socket a writer. One that it had is stopped first, between two posts: two at once would mix the order.
    pub(super) fn begin(&self, connection: Connection, beginning: StartAt) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let id = connection.connection_id.clone();
        let before = running.remove(&id);
        let stop = CancellationToken::new();
        let (context, stopped) = (self.context.clone(), stop.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(telemetry::in_current_scope(async move {
            if let Some(before) = before {
                before.stop.cancel();
                // Its panic, if any, was its own.
                let _ = before.task.await;
            }
            socket_writer::write(&context, &connection, beginning, &stopped).await;
        })));
        running.insert(id, Running { stop, task });
    }

    /// Whether a socket has a writer.
    pub(super) fn has(&self, socket: &ConnectionId) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(socket)
    }

    /// Waits until every writer has said all.
    pub(super) async fn done(self) {
        for running in self.running.into_inner().unwrap_or_else(PoisonError::into_inner).into_values() {
            if running.task.await.is_err() {
                let request_id = &self.context.request_id;
                tracing::error!(request_id, "a writer panicked");
            }
        }
    }
}
