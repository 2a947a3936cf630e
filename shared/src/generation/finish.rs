//! Storing the outcome of a generation.

use super::{owned_generation::OwnedGeneration, stream_commands::ensure_writer_for};
use crate::{
    domain::generation::Outcome,
    storage::{FinishResult, RunningGeneration, StorageError},
};

/// Stores the outcome. Failures are retried for as long as the lease lasts.
pub(super) async fn store_outcome(owned: &OwnedGeneration, outcome: &Outcome) -> Result<FinishResult, StorageError> {
    let ended_at = owned.now();
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

/// Releases the slot of the tenant's budget, so that the tenant may send its next message when it sees the end. A failure
/// is logged: the slot expires.
pub(super) async fn release_slot(owned: &OwnedGeneration) {
    if let Err(error) = owned.lease.release_slot().await {
        owned.log(error);
    }
}

/// Removes the chat's record of the generation. From then on the chat takes the next message, and other invocations handle
/// commands themselves; a cancel that came in between is handled here.
pub(super) async fn remove_record(owned: &OwnedGeneration) {
    match owned.lease.remove_record().await {
        Ok(record) => {
            if let Some(canceller) = record.as_ref().and_then(RunningGeneration::cancelled_by) {
                ensure_writer_for(owned, canceller).await;
            }
        }
        Err(error) => owned.log(error),
    }
}

/// Deletes the chunks, which no reader needs any more.
pub(super) async fn delete_chunks(owned: &OwnedGeneration) {
    if let Err(error) = owned.lease.delete_chunks().await {
        owned.log(error);
    }
}
