//! How long the chats of a tenant are kept.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Tenants, access_pk};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    storage::{
        StorageError,
        item::Item,
        maintenance_queue::{self, MaintenanceQueue, QueueEntry},
        unless_refused,
    },
};

/// How often the chats of a tenant are looked through.
const LOOK_THROUGH: Duration = Duration::from_secs(60 * 60);

impl Tenants {
    /// For how many days chats of a tenant are kept in which nothing happens; `None` is for ever. Felt by all its chats,
    /// also those that are there, at maintenance's next run. False when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn set_retention(
        &self,
        tenant: &TenantId,
        days: Option<u32>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self.update(tenant).condition_expression("attribute_exists(pk)");
        let update = match days {
            None => update.update_expression(format!("REMOVE retention_days, {}", maintenance_queue::UNMARK)),
            Some(days) => maintenance_queue::mark(&access_pk(tenant), now).into_iter().fold(
                update
                    .update_expression(format!("SET retention_days = :days, {}", maintenance_queue::MARK))
                    .expression_attribute_values(":days", AttributeValue::N(days.to_string())),
                |update, (name, value)| update.expression_attribute_values(name, value),
            ),
        };
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// The tenants whose chats maintenance has to look through.
    #[must_use]
    pub fn agenda(&self) -> MaintenanceQueue<TenantId> {
        let read = |item: &Item| TenantId::from_row(item.get("pk")?.as_s().ok()?.strip_prefix("tenant#")?);
        MaintenanceQueue::new(&self.client, &self.table, read)
    }

    /// Notes that a tenant's chats were looked through; that is done again later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn note_looked_through(&self, due: &QueueEntry<TenantId>, now: Timestamp) -> Result<(), StorageError> {
        self.agenda().postpone(due, now.plus(LOOK_THROUGH)).await
    }
}
