//! What a run has done.

use std::sync::{Mutex, PoisonError};

/// What a run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Queue entries that were processed.
    pub entries_processed: u64,
    /// Generations taken over from owners that died.
    pub generations_taken_over: u64,
    /// Deleted chats that were purged.
    pub chats_purged: u64,
    /// Idle chats deleted by retention.
    pub chats_expired: u64,
    /// Connections closed because their key grants no access any more.
    pub connections_closed: u64,
    /// Orphaned connection slots that were released.
    pub connection_slots_released: u64,
    /// Entries that failed and were postponed.
    pub failures: u64,
    /// Whether the run stopped before the queue was empty.
    pub incomplete: bool,
}

impl Report {
    /// Logs the report in one line.
    pub fn log(&self, request_id: &str) {
        tracing::info!(
            request_id,
            entries.processed = self.entries_processed,
            generations.taken_over = self.generations_taken_over,
            chats.purged = self.chats_purged,
            chats.expired = self.chats_expired,
            connections.closed = self.connections_closed,
            connection_slots.released = self.connection_slots_released,
            failures = self.failures,
            incomplete = self.incomplete,
            "maintenance completed"
        );
    }
}

/// A report that concurrent sweeps fill.
#[derive(Debug, Default)]
pub(super) struct ReportCounter(Mutex<Report>);

impl ReportCounter {
    pub(super) fn update(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn report(&self) -> Report {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
