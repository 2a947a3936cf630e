//! Retention: deletes chats that are idle for longer than their tenant keeps them.

use std::{cell::Cell, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    chats::purge,
    sweep::{Sweep, SweepResult},
};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    runtime::telemetry,
    storage::{IdleCandidate, IdleCheck, QueueEntry, StorageError},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many chats of a tenant are processed concurrently.
const CONCURRENT_CHATS: usize = 4;

pub(super) async fn sweep(sweep: &Sweep<'_>) -> Result<(), StorageError> {
    sweep.process(&sweep.maintenance.tenants.retention_queue(), async |entry| process_tenant(sweep, entry).await).await
}

/// Deletes the chats of a tenant that are idle for more than its `retention_days`.
async fn process_tenant(sweep: &Sweep<'_>, entry: &QueueEntry<TenantId>) -> Result<SweepResult, StorageError> {
    let tenants = &sweep.maintenance.tenants;
    let access = tenants.access(&entry.id).await?;
    // Without retention, the queue entry was removed together with the number of days.
    let Some(days) = access.and_then(|access| access.retention_days) else { return Ok(SweepResult::Complete) };
    let result = delete_idle_chats(sweep, &entry.id, sweep.now.minus(DAY * days)).await?;
    if result == SweepResult::Complete {
        tenants.postpone_retention(entry, sweep.now).await?;
    }
    Ok(result)
}

async fn delete_idle_chats(
    sweep: &Sweep<'_>,
    tenant: &TenantId,
    since: Timestamp,
) -> Result<SweepResult, StorageError> {
    let mut cursor = None;
    // All chats of a user update one item, so concurrent deletions may conflict. The next run deletes the rest.
    let conflicted = Cell::new(false);
    loop {
        let page = sweep.maintenance.chats.list_idle_candidates(tenant, since, cursor).await?;
        let chats = stream::iter(&page.chats).for_each_concurrent(CONCURRENT_CHATS, async |candidate| {
            if sweep.must_stop() {
                return;
            }
            match process_candidate(sweep, tenant, candidate, since).await {
                Ok(()) => {}
                Err(StorageError::Contended { .. }) => conflicted.set(true),
                Err(error) => sweep.log_failure(&(tenant, &candidate.chat_id), &telemetry::causes(&error)),
            }
        });
        chats.await;
        if sweep.must_stop() {
            return Ok(SweepResult::Partial);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(if conflicted.get() { SweepResult::Partial } else { SweepResult::Complete });
        }
    }
}

/// Deletes a chat if it is idle, and purges it as far as there is time; its queue entry remembers the rest.
async fn process_candidate(
    sweep: &Sweep<'_>,
    tenant: &TenantId,
    candidate: &IdleCandidate,
    since: Timestamp,
) -> Result<(), StorageError> {
    let (chats, chat) = (&sweep.maintenance.chats, &candidate.chat_id);
    match chats.check_idle(tenant, chat, since).await? {
        IdleCheck::Deleted => Ok(()),
        IdleCheck::Active(at) => chats.update_indexed_activity(tenant, candidate, at).await,
        IdleCheck::Idle(idle) => {
            if chats.delete_if_idle(tenant, chat, &idle, Timestamp::now()).await? {
                sweep.counter.update(|report| report.chats_expired += 1);
                purge(sweep, tenant, chat).await?;
            }
            Ok(())
        }
    }
}
