//! Retention: after how many days without activity a tenant's chats are deleted.

use std::time::Duration;

use super::repository::{TenantRepository, access_pk, tenant_of};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    storage::{
        conditional::unless_refused,
        error::StorageError,
        item::number,
        maintenance_queue::{MaintenanceQueue, QUEUE, QUEUE_ATTRIBUTES, QueueEntry, queue_values},
    },
};

/// How often retention is applied to a tenant's chats.
const APPLY_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl TenantRepository {
    /// Sets after how many days chats are deleted; `None` keeps them for ever. It applies to all of the tenant's chats, from
    /// the next run of maintenance on. Returns false when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn set_retention(
        &self,
        tenant: &TenantId,
        days: Option<u32>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self.update_access(tenant).condition_expression("attribute_exists(pk)");
        let update = match days {
            None => update.update_expression(format!("REMOVE retention_days, {QUEUE_ATTRIBUTES}")),
            Some(days) => update
                .update_expression(format!("SET retention_days = :days, {QUEUE}"))
                .set_expression_attribute_values(Some(queue_values(&access_pk(tenant), now)))
                .expression_attribute_values(":days", number(days)),
        };
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// The tenants that are queued for retention.
    #[must_use]
    pub fn retention_queue(&self) -> MaintenanceQueue<TenantId> {
        MaintenanceQueue::new(&self.table, tenant_of)
    }

    /// Queues a tenant for the next time that retention is applied.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn postpone_retention(&self, entry: &QueueEntry<TenantId>, now: Timestamp) -> Result<(), StorageError> {
        self.retention_queue().postpone(entry, now.plus(APPLY_INTERVAL)).await
    }
}
