//! Going round what is due.

use std::{
    fmt::{Debug, Display},
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::Instant;

use super::Run;
use crate::{
    domain::time::Timestamp,
    runtime::telemetry,
    storage::{MaintenanceQueue, QueueEntry, QueueShard, StorageError},
};

/// How many items of a shard are looked at at once: a long one holds up few others.
const AT_ONCE: usize = 4;

/// After how long something is tried again that failed: what always fails is not in the way of each run.
const TRY_AGAIN: Duration = Duration::from_secs(15 * 60);

/// StopTime when a run may begin something.
#[derive(Clone, Copy, Debug)]
pub struct StopTime(Instant);

impl StopTime {
    /// So long from now.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// How far a look at something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SweepResult {
    /// To its end.
    Complete,
    /// As far as there was time; the next run goes on.
    Partial,
}

impl Run<'_> {
    /// Looks at each item of an agenda that is due. One that fails is logged, counted and put off.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when it could not be read what is due.
    pub(super) async fn round<T: Debug>(
        &self,
        agenda: &MaintenanceQueue<T>,
        look: impl AsyncFn(&QueueEntry<T>) -> Result<SweepResult, StorageError>,
    ) -> Result<(), StorageError> {
        let shards = QueueShard::all().map(async |shard| self.round_shard(agenda, shard, &look).await);
        join_all(shards).await.into_iter().collect()
    }

    async fn round_shard<T: Debug>(
        &self,
        agenda: &MaintenanceQueue<T>,
        shard: QueueShard,
        look: &impl AsyncFn(&QueueEntry<T>) -> Result<SweepResult, StorageError>,
    ) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let page = agenda.page(shard, self.now, after).await?;
            for _ in 0..page.unreadable {
                self.failed(&"an item that is due", &"its key cannot be read");
            }
            let looks = stream::iter(&page.entries).for_each_concurrent(AT_ONCE, async |due| {
                if self.is_over() {
                    return;
                }
                self.tally.count(|done| done.looked_at += 1);
                match look(due).await {
                    Ok(SweepResult::Complete) => {}
                    Ok(SweepResult::Partial) => self.tally.count(|done| done.cut_short = true),
                    Err(error) => {
                        self.failed(&due.id, &telemetry::causes(&error));
                        self.postpone(agenda, due).await;
                    }
                }
            });
            looks.await;
            after = page.next;
            if after.is_none() || self.is_over() {
                return Ok(());
            }
        }
    }

    async fn postpone<T: Debug>(&self, agenda: &MaintenanceQueue<T>, due: &QueueEntry<T>) {
        if let Err(error) = agenda.postpone(due, Timestamp::now().plus(TRY_AGAIN)).await {
            self.failed(&due.id, &telemetry::causes(&error));
        }
    }

    /// Whether nothing may be begun any more.
    pub(super) fn is_over(&self) -> bool {
        let is_over = self.until.is_over();
        if is_over {
            self.tally.count(|done| done.cut_short = true);
        }
        is_over
    }

    /// Logs and counts what could not be done: of which chat or tenant, and why.
    pub(super) fn failed(&self, what: &dyn Debug, cause: &dyn Display) {
        self.tally.count(|done| done.failures += 1);
        tracing::error!(request_id = self.request_id, due = ?what, error.cause = %cause, "a part of the maintenance failed");
    }
}
