//! One run of all sweeps.

use super::{
    chats, connections,
    report::{Report, ReportCounter},
    retention,
    stop_time::StopTime,
    sweep::{Maintenance, Sweep},
};
use crate::{domain::time::Timestamp, storage::StorageError};

impl Maintenance {
    /// Processes the queue entries that are due at `now`, until none is left or `stop` is reached. Also reports what a
    /// failed run has done.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the queue cannot be read.
    pub async fn run(&self, now: Timestamp, stop: StopTime, request_id: &str) -> (Report, Result<(), StorageError>) {
        let counter = ReportCounter::default();
        let sweep = Sweep { maintenance: self, counter: &counter, now, stop, request_id };
        // Concurrently, so that a long sweep delays no other.
        let (chats, connections, retention) = tokio::join!(
            Box::pin(chats::sweep(&sweep)),
            Box::pin(connections::sweep(&sweep)),
            Box::pin(retention::sweep(&sweep))
        );
        (counter.report(), chats.and(connections).and(retention))
    }
}
