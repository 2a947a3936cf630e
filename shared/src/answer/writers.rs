//! The writers of one answer, a socket each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    feed::Feed,
    writer::{self, Beginning},
};
use crate::{
    error::ApiError,
    id::{ChatId, ConnectionId, MessageId, TenantId},
    message::Message,
    store::{Connection, Connections, Hold},
    telemetry,
    time::Timestamp,
    ws::Publisher,
};

/// How sockets are found, reached and forgotten.
#[derive(Clone, Debug)]
pub struct Sockets {
    /// Where they are noted.
    pub connections: Connections,
    /// How they are reached.
    pub publisher: Publisher,
}

/// One answer, as its writers tell of it.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) sockets: Sockets,
    pub(super) chat_id: ChatId,
    /// The message that is answered, to be acknowledged; none where an answer is made anew.
    pub(super) message: Option<Message>,
    pub(super) answer: Subject,
    /// The id under which errors are logged.
    pub(super) request_id: String,
    pub(super) feed: Feed,
    /// What gives the right to tell of a running answer.
    pub(super) hold: Option<Arc<Hold>>,
}

/// Which answer it is.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) message_id: MessageId,
    pub(super) seq: u32,
    pub(super) in_reply_to: MessageId,
    pub(super) replaces: Option<MessageId>,
    pub(super) model: String,
}

/// The writers of one answer. Dropping this ends them.
#[derive(Debug)]
pub(super) struct Writers {
    telling: Arc<Telling>,
    running: Mutex<HashMap<ConnectionId, Running>>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Sockets {
    /// The open sockets of a chat; none if they cannot be found, which is logged.
    pub(super) async fn of_chat(&self, tenant: &TenantId, chat: &ChatId, request_id: &str) -> Vec<Connection> {
        self.connections.of_chat(tenant, chat, Timestamp::now()).await.unwrap_or_else(|error| {
            telemetry::log_cause(&ApiError::from(error), request_id);
            Vec::new()
        })
    }
}

impl Telling {
    /// Whether the answer is still this process's to tell of. A process may have been stopped for so long that someone
    /// else has ended it. What has ended is anyone's to tell of.
    pub(super) fn is_held(&self) -> bool {
        let held = || self.hold.as_ref().is_none_or(|hold| hold.lapses_at() > Timestamp::now());
        held() || self.feed.has_ended()
    }
}

impl Writers {
    pub(super) fn new(telling: Telling) -> Self {
        Self { telling: Arc::new(telling), running: Mutex::default() }
    }

    pub(super) fn telling(&self) -> &Telling {
        &self.telling
    }

    /// Gives a socket a writer. One that it had is stopped first, between two posts: two at once would mix the order.
    pub(super) fn begin(&self, connection: Connection, beginning: Beginning) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let id = connection.connection_id.clone();
        let before = running.remove(&id);
        let stop = CancellationToken::new();
        let (telling, stopped) = (self.telling.clone(), stop.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(telemetry::carried(async move {
            if let Some(before) = before {
                before.stop.cancel();
                // Its panic, if any, was its own.
                let _ = before.task.await;
            }
            writer::write(&telling, &connection, beginning, &stopped).await;
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
                let request_id = &self.telling.request_id;
                tracing::error!(request_id, "a writer panicked");
            }
        }
    }
}
