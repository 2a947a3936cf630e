//! Settlement: what is left to do for generations that have ended, if their owners did not do it.

use super::{
    budgets::BudgetRepository,
    chat_state::ChatStates,
    error::StorageError,
    records::{chat::StateRecord, generation::RunningGeneration, usage::UncountedUsage},
    table::Table,
    usage::UsageRepository,
};
use crate::domain::{
    id::{ChatId, TenantId},
    message::Usage,
    time::Timestamp,
};

/// Settles generations in this table.
#[derive(Clone, Debug)]
pub(super) struct Settlement {
    budgets: BudgetRepository,
    states: ChatStates,
    usage: UsageRepository,
}

impl Settlement {
    pub(super) fn new(table: &Table) -> Self {
        let (budgets, usage) = (BudgetRepository::in_table(table), UsageRepository::in_table(table));
        Self { budgets, states: ChatStates::new(table), usage }
    }

    /// Settles the budget of a generation, removes its record from the state and counts its usage. May be repeated. Of
    /// several callers one gets the record.
    pub(super) async fn settle(
        &self,
        (tenant, chat): (&TenantId, &ChatId),
        running: &RunningGeneration,
        usage: Usage,
        ended_at: Timestamp,
    ) -> Result<Option<RunningGeneration>, StorageError> {
        if let Some(reservation) = running.reservation {
            self.budgets.settle((tenant, chat), reservation, usage.tokens()).await?;
        }
        let uncounted = UncountedUsage::of_record(running, usage, ended_at);
        let Some(removed) = self.states.end_generation(tenant, chat, &uncounted).await? else { return Ok(None) };
        self.usage.count(tenant, chat, &removed.user, &removed.uncounted).await?;
        Ok(Some(removed.record))
    }

    /// Counts the usage that is left in the state of a chat, because a process died before it was counted.
    pub(super) async fn count_left(
        &self,
        (tenant, chat): (&TenantId, &ChatId),
        state: &StateRecord,
    ) -> Result<(), StorageError> {
        for element in &state.uncounted {
            self.usage.count(tenant, chat, &state.user_id, element).await?;
        }
        Ok(())
    }
}
