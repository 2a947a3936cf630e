//! Storing the outcome of a generation.

use super::{run::Run, stream_commands::announce_end_to};
use crate::{
    domain::generation::Outcome,
    storage::{FinishResult, RunningGeneration, StorageError},
};

/// Stores the outcome. Failures are retried for as long as the lease lasts.
pub(super) async fn store_outcome(run: &Run, outcome: &Outcome) -> Result<FinishResult, StorageError> {
    let ended_at = run.now();
    let mut retry = 0;
    loop {
        match run.lease.finish(outcome, ended_at).await {
            Err(error) if run.lease.lease_expires_at() > run.now() => run.log(error),
            result => return result,
        }
        run.stream().timings.store_outcome.wait(retry).await;
        retry += 1;
    }
}

/// Removes what only a running generation needs. From then on other invocations handle commands themselves; a cancel that
/// came in between is handled here.
pub(super) async fn clean_up(run: &Run) {
    match run.lease.clean_up().await {
        Ok(record) => {
            if let Some(canceller) = record.as_ref().and_then(RunningGeneration::cancelled_by) {
                announce_end_to(run, canceller).await;
            }
        }
        Err(error) => run.log(error),
    }
}
