//! The repository of budgets: reads, and the end of a reservation.

use aws_sdk_dynamodb::{
    Client, operation::update_item::builders::UpdateItemFluentBuilder, types::ReturnValuesOnConditionCheckFailure,
};

use super::record::{BudgetRecord, OwnLimits, slot_name};
use crate::{
    domain::{
        budget::Reservation,
        id::{ChatId, TenantId},
    },
    runtime::cache::Cache,
    storage::{
        conditional::unless_refused,
        error::StorageError,
        item::number,
        recent_refusals::RecentRefusals,
        table::{Key, Table},
    },
};

const BUDGET_SK: &str = "~budget";

/// The budgets of tenants.
#[derive(Clone, Debug)]
pub struct BudgetRepository {
    pub(super) table: Table,
    /// The limits that tenants have of their own, as this process last saw them.
    pub(super) own_limits: Cache<TenantId, OwnLimits>,
    pub(super) refusals: RecentRefusals,
}

impl BudgetRepository {
    /// The budgets in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(in crate::storage) fn in_table(table: &Table) -> Self {
        Self { table: table.clone(), own_limits: Cache::default(), refusals: RecentRefusals::default() }
    }

    /// Settles the reservation of a generation that has ended: `used` tokens count in its place. A reservation that was
    /// settled or has expired is ignored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the reservation may stand then, until it expires.
    pub async fn settle(
        &self,
        (tenant, chat): (&TenantId, &ChatId),
        reservation: Reservation,
        used: u64,
    ) -> Result<(), StorageError> {
        let change = i128::from(used) - i128::from(reservation.tokens);
        let update = self
            .table
            .update(key(tenant))
            .update_expression("REMOVE running.#slot ADD tokens_of_day :change, tokens_of_month :change")
            .condition_expression("attribute_exists(running.#slot)")
            .expression_attribute_names("#slot", slot_name(reservation.slot, chat))
            .expression_attribute_values(":change", number(change));
        unless_refused(update.send().await).map(drop)
    }

    pub(super) fn update(&self, tenant: &TenantId) -> UpdateItemFluentBuilder {
        self.table
            .update(key(tenant))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    pub(super) async fn record(&self, tenant: &TenantId) -> Result<BudgetRecord, StorageError> {
        BudgetRecord::of(self.table.get(key(tenant)).send().await?.item)
    }

    /// Deletes the item of a tenant that is erased.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId) -> Result<(), StorageError> {
        self.table.delete(key(tenant)).send().await?;
        Ok(())
    }
}

pub(super) fn key(tenant: &TenantId) -> Key {
    Key::new(format!("{tenant}#budget"), BUDGET_SK)
}
