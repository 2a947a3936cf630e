//! Going through the maintenance queue.

use std::{
    fmt::{Debug, Display},
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};

use super::{report::ReportCounter, stop_time::StopTime};
use crate::{
    domain::time::Timestamp,
    generation::ChatConnections,
    runtime::telemetry,
    storage::{
        ChatRepository, GenerationRepository, MaintenanceQueue, QueueEntry, QueueShard, StorageError, TenantRepository,
    },
};

/// How many entries of a shard are processed concurrently, so that a long one delays few others.
const CONCURRENT_ENTRIES: usize = 4;

/// How long a failed entry is postponed: an entry that always fails must not take the time of every run.
const RETRY_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// What the sweeps work with.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// Tenants and their retention.
    pub tenants: TenantRepository,
    /// Chats and their messages.
    pub chats: ChatRepository,
    /// Generations, for takeovers.
    pub generations: GenerationRepository,
    /// Open connections.
    pub sockets: ChatConnections,
}

/// A run of the sweeps.
pub(super) struct Sweep<'a> {
    pub(super) maintenance: &'a Maintenance,
    pub(super) counter: &'a ReportCounter,
    pub(super) now: Timestamp,
    pub(super) stop: StopTime,
    pub(super) request_id: &'a str,
}

/// How far the processing of an entry came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SweepResult {
    /// It is done.
    Complete,
    /// Time was up, or a socket could not be closed; the next run continues.
    Partial,
}

impl Sweep<'_> {
    /// Processes every due entry of a queue. An entry that fails is logged, counted and postponed.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the queue cannot be read.
    pub(super) async fn process<T: Debug>(
        &self,
        queue: &MaintenanceQueue<T>,
        process_entry: impl AsyncFn(&QueueEntry<T>) -> Result<SweepResult, StorageError>,
    ) -> Result<(), StorageError> {
        let shards = QueueShard::all().map(async |shard| self.process_shard(queue, shard, &process_entry).await);
        join_all(shards).await.into_iter().collect()
    }

    async fn process_shard<T: Debug>(
        &self,
        queue: &MaintenanceQueue<T>,
        shard: QueueShard,
        process_entry: &impl AsyncFn(&QueueEntry<T>) -> Result<SweepResult, StorageError>,
    ) -> Result<(), StorageError> {
        let mut cursor = None;
        loop {
            let page = queue.page(shard, self.now, cursor).await?;
            for _ in 0..page.unreadable {
                self.log_failure(&"an unreadable entry", &"its key cannot be parsed");
            }
            let entries = stream::iter(&page.entries).for_each_concurrent(CONCURRENT_ENTRIES, async |entry| {
                if self.must_stop() {
                    return;
                }
                self.counter.update(|report| report.entries_processed += 1);
                match process_entry(entry).await {
                    Ok(SweepResult::Complete) => {}
                    Ok(SweepResult::Partial) => self.counter.update(|report| report.incomplete = true),
                    Err(error) => {
                        self.log_failure(&entry.id, &telemetry::causes(&error));
                        self.postpone(queue, entry).await;
                    }
                }
            });
            entries.await;
            cursor = page.next;
            if cursor.is_none() || self.must_stop() {
                return Ok(());
            }
        }
    }

    async fn postpone<T: Debug>(&self, queue: &MaintenanceQueue<T>, entry: &QueueEntry<T>) {
        if let Err(error) = queue.postpone(entry, Timestamp::now().plus(RETRY_INTERVAL)).await {
            self.log_failure(&entry.id, &telemetry::causes(&error));
        }
    }

    /// Whether the run must start nothing new.
    pub(super) fn must_stop(&self) -> bool {
        let stop = self.stop.is_reached();
        if stop {
            self.counter.update(|report| report.incomplete = true);
        }
        stop
    }

    /// Logs and counts a failure, with the chat or tenant of the entry.
    pub(super) fn log_failure(&self, entry: &dyn Debug, cause: &dyn Display) {
        self.counter.update(|report| report.failures += 1);
        telemetry::count_maintenance_failure();
        tracing::error!(request_id = self.request_id, ?entry, error.cause = %cause, "maintenance entry failed");
    }
}
