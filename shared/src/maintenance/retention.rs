//! Chats that their tenant does not want to keep any longer.

use std::{cell::Cell, time::Duration};

use futures_util::{StreamExt, stream};

use super::{Run, sweep::SweepResult};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    runtime::telemetry,
    storage::{IdleCandidate, IdleCheck, QueueEntry, StorageError},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many chats of a tenant are looked at at once.
const AT_ONCE: usize = 4;

impl Run<'_> {
    pub(super) async fn retention(&self) -> Result<(), StorageError> {
        self.round(&self.house.tenants.retention_queue(), async |due| self.look_through(due).await).await
    }

    /// Deletes the chats of a tenant in which nothing has happened for longer than it wants to keep them.
    async fn look_through(&self, due: &QueueEntry<TenantId>) -> Result<SweepResult, StorageError> {
        let access = self.house.tenants.access(&due.id).await?;
        // Where it is for ever by now, the mark went with the number of days.
        let Some(days) = access.and_then(|access| access.retention_days) else { return Ok(SweepResult::Complete) };
        let came = self.delete_idle(&due.id, self.now.minus(DAY * days)).await?;
        if came == SweepResult::Complete {
            self.house.tenants.postpone_retention(due, self.now).await?;
        }
        Ok(came)
    }

    async fn delete_idle(&self, tenant: &TenantId, since: Timestamp) -> Result<SweepResult, StorageError> {
        let mut after = None;
        // Chats of one user are counted in one item, and sometimes too many are deleted at once.
        let contended = Cell::new(false);
        loop {
            let page = self.house.chats.list_idle_candidates(tenant, since, after).await?;
            let looks = stream::iter(&page.chats).for_each_concurrent(AT_ONCE, async |candidate| {
                if self.is_over() {
                    return;
                }
                match self.consider(tenant, candidate, since).await {
                    Ok(()) => {}
                    Err(StorageError::Contended { .. }) => contended.set(true),
                    Err(error) => self.failed(&(tenant, &candidate.chat_id), &telemetry::causes(&error)),
                }
            });
            looks.await;
            if self.is_over() {
                return Ok(SweepResult::Partial);
            }
            after = page.next;
            if after.is_none() {
                return Ok(if contended.get() { SweepResult::Partial } else { SweepResult::Complete });
            }
        }
    }

    /// Deletes a chat if nothing has happened in it, and purges it as far as there is time; it is on the agenda from then on.
    async fn consider(
        &self,
        tenant: &TenantId,
        candidate: &IdleCandidate,
        since: Timestamp,
    ) -> Result<(), StorageError> {
        let (chats, chat) = (&self.house.chats, &candidate.chat_id);
        match chats.check_idle(tenant, chat, since).await? {
            IdleCheck::Deleted => Ok(()),
            IdleCheck::Active(at) => chats.update_indexed_activity(tenant, candidate, at).await,
            IdleCheck::Idle(idle) => {
                if chats.delete_if_idle(tenant, chat, &idle, Timestamp::now()).await? {
                    self.tally.count(|done| done.chats_expired += 1);
                    self.clear_away(tenant, chat).await?;
                }
                Ok(())
            }
        }
    }
}
