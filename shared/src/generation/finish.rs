//! Storing the outcome of a generation.

use super::{owned_generation::OwnedGeneration, stream_commands::ensure_writer_for};
use crate::{
    domain::{generation::Outcome, message::Usage, time::Timestamp},
    storage::{FinishResult, RemovedGeneration, StorageError},
};

/// Stores the outcome. Failures are retried for as long as the lease lasts.
pub(super) async fn store_outcome(
    owned: &OwnedGeneration,
    outcome: &Outcome,
    ended_at: Timestamp,
) -> Result<FinishResult, StorageError> {
    let mut retry = 0;
    loop {
        match owned.lease.finish(outcome, ended_at).await {
            Err(error) if owned.lease.lease_expires_at() > owned.now() => owned.log(error),
            result => return result,
        }
        owned.stream().timings.store_outcome.wait(retry).await;
        retry += 1;
    }
}

/// Settles the tenant's budget, so that the tenant may send its next message when it sees the end. A failure is logged:
/// the reservation expires.
pub(super) async fn settle_budget(owned: &OwnedGeneration, usage: Usage) {
    if let Err(error) = owned.lease.settle_budget(usage).await {
        owned.log(error);
    }
}

/// Removes the chat's record of the generation. From then on the chat takes the next message, and other invocations handle
/// commands themselves; a cancel that came in between is handled here.
pub(super) async fn remove_record(
    owned: &OwnedGeneration,
    usage: Usage,
    ended_at: Timestamp,
) -> Option<RemovedGeneration> {
    let removed = owned.lease.remove_record(usage, ended_at).await.unwrap_or_else(|error| {
        owned.log(error);
        None
    })?;
    if let Some(canceller) = removed.record.cancelled_by() {
        ensure_writer_for(owned, canceller).await;
    }
    Some(removed)
}

/// What no client waits for: counts the usage, and deletes the chunks. If the process dies, maintenance counts it and TTL
/// deletes them.
pub(super) async fn clean_up(owned: &OwnedGeneration, removed: Option<RemovedGeneration>) {
    let count = async {
        match &removed {
            Some(removed) => owned.lease.count_usage(removed).await,
            None => Ok(()),
        }
    };
    let (counted, deleted) = tokio::join!(count, owned.lease.delete_chunks());
    for failure in [counted, deleted].into_iter().filter_map(Result::err) {
        owned.log(failure);
    }
}
