//! What a run has done, counted while it does it.

use std::sync::{Mutex, PoisonError};

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many chats and tenants were due.
    pub looked_at: u64,
    /// Answers that were ended, since their streamers had died.
    pub answers_ended: u64,
    /// Chats that were deleted before, and purged now.
    pub chats_purged: u64,
    /// Chats that were deleted, since nothing had happened in them for long.
    pub chats_expired: u64,
    /// ChatConnections that were closed, since they did not open their tenant's gate any more.
    pub sockets_closed: u64,
    /// Leases that were given back, since their sockets were gone.
    pub leases_freed: u64,
    /// What could not be done, and is tried again later.
    pub failures: u64,
    /// Whether something was left for the next run, since time was up.
    pub cut_short: bool,
}

impl Report {
    /// Says so in the log, in one line.
    pub fn log(&self, request_id: &str) {
        tracing::info!(
            request_id,
            looked_at = self.looked_at,
            answers.ended = self.answers_ended,
            chats.purged = self.chats_purged,
            chats.expired = self.chats_expired,
            sockets.closed = self.sockets_closed,
            leases.freed = self.leases_freed,
            failures = self.failures,
            cut_short = self.cut_short,
            "maintenance"
        );
    }
}

#[derive(Debug, Default)]
pub(super) struct ReportCounter(Mutex<Report>);

impl ReportCounter {
    pub(super) fn count(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn done(&self) -> Report {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
