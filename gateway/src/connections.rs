//! Open connections of the WebSocket API, with the queue of outgoing frames of each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::{sync::mpsc, time::Instant};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

/// Connections by connection id, from the end of the handshake until they close.
#[derive(Default)]
pub(crate) struct Connections(Mutex<HashMap<String, Arc<Connection>>>);

impl Connections {
    pub(crate) fn insert(&self, connection: Arc<Connection>) {
        self.lock().insert(connection.peer.id.clone(), connection);
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Connection>> {
        self.lock().get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Connection>> {
        self.lock().remove(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client side of a connection, as `requestContext` describes it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) connected_at: Timestamp,
    pub(crate) source_ip: String,
    pub(crate) user_agent: Option<String>,
    pub(crate) domain_name: String,
}

pub(crate) struct Connection {
    pub(crate) peer: Peer,
    outgoing: mpsc::Sender<OutgoingFrame>,
    /// Closes the socket without sending the queue.
    pub(crate) abort: CancellationToken,
    active: Mutex<(Instant, Timestamp)>,
}

pub(crate) enum OutgoingFrame {
    Text(Utf8Bytes),
    Close,
}

/// Why a frame is not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PostError {
    /// The client reads too slowly.
    QueueFull,
    /// The connection is closed.
    Gone,
}

impl Connection {
    pub(crate) fn new(peer: Peer, queue: usize) -> (Arc<Self>, mpsc::Receiver<OutgoingFrame>) {
        let (outgoing, frames) = mpsc::channel(queue);
        let active = Mutex::new((Instant::now(), peer.connected_at));
        (Arc::new(Self { peer, outgoing, abort: CancellationToken::new(), active }), frames)
    }

    /// Queues a text frame.
    pub(crate) fn post(&self, text: Utf8Bytes) -> Result<(), PostError> {
        self.outgoing.try_send(OutgoingFrame::Text(text)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PostError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => PostError::Gone,
        })
    }

    /// Closes the socket after the queued frames, or at once if the queue is full.
    pub(crate) fn close(&self) {
        if self.outgoing.try_send(OutgoingFrame::Close).is_err() {
            self.abort.cancel();
        }
    }

    pub(crate) fn record_activity(&self) {
        *self.activity() = (Instant::now(), Timestamp::now());
    }

    pub(crate) fn last_active(&self) -> (Instant, Timestamp) {
        *self.activity()
    }

    fn activity(&self) -> MutexGuard<'_, (Instant, Timestamp)> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer {
            id: "id=".to_owned(),
            connected_at: Timestamp::UNIX_EPOCH,
            source_ip: String::new(),
            user_agent: None,
            domain_name: String::new(),
        }
    }

    #[test]
    fn full_queue_refuses_posts_and_aborts_on_close() {
        let (connection, mut frames) = Connection::new(peer(), 1);
        assert_eq!(connection.post("one".into()), Ok(()));
        assert_eq!(connection.post("two".into()), Err(PostError::QueueFull));
        connection.close();
        assert!(connection.abort.is_cancelled());
        assert!(matches!(frames.try_recv(), Ok(OutgoingFrame::Text(text)) if text.as_str() == "one"));
        assert!(frames.try_recv().is_err());
    }

    #[test]
    fn close_follows_queued_frames() {
        let (connection, mut frames) = Connection::new(peer(), 2);
        connection.post("one".into()).unwrap();
        connection.close();
        assert!(!connection.abort.is_cancelled());
        assert!(matches!(frames.try_recv(), Ok(OutgoingFrame::Text(_))));
        assert!(matches!(frames.try_recv(), Ok(OutgoingFrame::Close)));
    }

    #[test]
    fn post_to_closed_socket_is_gone() {
        let (connection, frames) = Connection::new(peer(), 1);
        drop(frames);
        assert_eq!(connection.post("one".into()), Err(PostError::Gone));
    }
}
