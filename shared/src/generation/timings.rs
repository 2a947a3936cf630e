//! All intervals of the engine, as one value.

use std::time::Duration;

use super::coalescing::LATER_INTERVAL;
use crate::runtime::retry::Backoff;

/// The intervals of the engine. `Default` is what production uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timings {
    /// The shortest time between two token frames to one socket, after the first ones of an answer.
    pub(super) coalescing: Duration,
    /// How long a post to a socket is retried, and may take.
    pub(super) post: Duration,
    /// How often new text is saved. Text that is not saved yet is lost with the process.
    pub(super) save: Duration,
    /// How often the lease is renewed when there is no new text: a third of its 15 s.
    pub(super) renew: Duration,
    /// How often stream commands are polled. Their senders wait for it, so it is below a second.
    pub(super) poll: Duration,
    /// How long the end of a generation waits for a poll that is under way.
    pub(super) last_poll: Duration,
    /// How often a writer checks whether an expired lease has been renewed.
    pub(super) check_lease: Duration,
    /// How long a new socket may take to get its first event, `connection_established`.
    pub(super) establish: Duration,
    /// How long a socket that is not known to be open may still open: until then, a post that fails because it is gone is
    /// repeated.
    pub(super) open: Duration,
    /// How often such a post is repeated.
    pub(super) retry_opening: Duration,
    /// How often a writer checks whether it has.
    pub(super) check_established: Duration,
    /// How long the chat's connections are searched: without them the sockets see no events of this generation.
    pub(super) find_connections: Duration,
    /// The pauses between attempts to store the outcome.
    pub(super) store_outcome: Backoff,
}

impl Default for Timings {
    fn default() -> Self {
        let store_outcome = Duration::from_millis(500);
        Self {
            coalescing: LATER_INTERVAL,
            post: Duration::from_secs(30),
            save: Duration::from_secs(1),
            renew: Duration::from_secs(5),
            poll: Duration::from_millis(800),
            last_poll: Duration::from_secs(1),
            check_lease: Duration::from_millis(200),
            establish: Duration::from_secs(5),
            open: Duration::from_secs(12),
            retry_opening: Duration::from_millis(250),
            check_established: Duration::from_millis(20),
            find_connections: Duration::from_secs(10),
            store_outcome: Backoff::exact(store_outcome, store_outcome),
        }
    }
}
