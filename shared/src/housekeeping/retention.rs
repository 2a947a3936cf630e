//! Chats that their tenant does not want to keep any longer.

use std::{cell::Cell, time::Duration};

use futures_util::{StreamExt, stream};

use super::{Run, round::Came};
use crate::{
    id::TenantId,
    store::{Candidate, Due, Idleness, StoreError},
    telemetry,
    time::Timestamp,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many chats of a tenant are looked at at once.
const AT_ONCE: usize = 4;

impl Run<'_> {
    pub(super) async fn retention(&self) -> Result<(), StoreError> {
        self.round(&self.house.tenants.agenda(), async |due| self.look_through(due).await).await
    }

    /// Deletes the chats of a tenant in which nothing has happened for longer than it wants to keep them.
    async fn look_through(&self, due: &Due<TenantId>) -> Result<Came, StoreError> {
        let gate = self.house.tenants.gate(&due.what).await?;
        // Where it is for ever by now, the mark went with the number of days.
        let Some(days) = gate.and_then(|gate| gate.retention_days) else { return Ok(Came::Through) };
        let came = self.delete_idle(&due.what, self.now.minus(DAY * days)).await?;
        if came == Came::Through {
            self.house.tenants.note_looked_through(due, self.now).await?;
        }
        Ok(came)
    }

    async fn delete_idle(&self, tenant: &TenantId, since: Timestamp) -> Result<Came, StoreError> {
        let mut after = None;
        // Chats of one user are counted in one item, and sometimes too many are deleted at once.
        let contended = Cell::new(false);
        loop {
            let page = self.house.chats.maybe_idle(tenant, since, after).await?;
            let looks = stream::iter(&page.chats).for_each_concurrent(AT_ONCE, async |candidate| {
                if self.is_over() {
                    return;
                }
                match self.consider(tenant, candidate, since).await {
                    Ok(()) => {}
                    Err(StoreError::Contended { .. }) => contended.set(true),
                    Err(error) => self.failed(&(tenant, &candidate.chat_id), &telemetry::causes(&error)),
                }
            });
            looks.await;
            if self.is_over() {
                return Ok(Came::SoFar);
            }
            after = page.next;
            if after.is_none() {
                return Ok(if contended.get() { Came::SoFar } else { Came::Through });
            }
        }
    }

    /// Deletes a chat if nothing has happened in it, and purges it as far as there is time; it is on the agenda from then on.
    async fn consider(&self, tenant: &TenantId, candidate: &Candidate, since: Timestamp) -> Result<(), StoreError> {
        let (chats, chat) = (&self.house.chats, &candidate.chat_id);
        match chats.idleness(tenant, chat, since).await? {
            Idleness::Gone => Ok(()),
            Idleness::Active(at) => chats.move_to(tenant, candidate, at).await,
            Idleness::Idle(idle) => {
                if chats.delete_idle(tenant, chat, &idle, Timestamp::now()).await? {
                    self.tally.count(|done| done.chats_expired += 1);
                    self.clear_away(tenant, chat).await?;
                }
                Ok(())
            }
        }
    }
}
