//! Connection slots: how many connections a tenant has open.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}` | `~slots` | `slots`, a set of [slot names](ConnectionSlot); `probed_at` |
//!
//! A set knows which slots are taken, not only how many, so taking or releasing one twice is the same as once. So the SDK
//! may repeat these writes after a lost response; a counter would be off by one for good. The item is billed by its size,
//! about 11 bytes a slot, and lies apart from the tenant's access item, which every request writes.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, ReturnValue},
};

use super::{
    conditional::unless_refused,
    error::StorageError,
    item::{Item, SET_VERSION, number, text_of, version},
    maintenance_queue::{MaintenanceQueue, QUEUE_ONCE, QueueEntry, queue_values},
    table::{Key, Table},
};
use crate::domain::{
    connection::{Connection, ConnectionSlot},
    id::TenantId,
    time::Timestamp,
};

const SLOTS: &str = "~slots";

/// How often maintenance checks the connections of a tenant that has some.
const CHECK_INTERVAL: Duration = Duration::from_secs(4 * 60);

/// The connection slots of tenants.
#[derive(Clone, Debug)]
pub struct ConnectionSlotRepository {
    table: Table,
}

impl ConnectionSlotRepository {
    /// The slots in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Takes a connection's slot, unless `limit` slots are taken. Returns true when it is taken, now or before. Queues the
    /// tenant for maintenance.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the slot may be taken then.
    pub async fn take(&self, connection: &Connection, limit: u32) -> Result<bool, StorageError> {
        if limit == 0 {
            return Ok(false);
        }
        let (tenant, slot) = (&connection.grant.tenant_id, connection.slot());
        let update = self
            .table
            .update(key(tenant))
            .update_expression(format!("{SET_VERSION}, {QUEUE_ONCE} ADD slots :slots"))
            .condition_expression("attribute_not_exists(slots) OR size(slots) < :limit OR contains(slots, :slot)")
            .set_expression_attribute_values(Some(queue_values(
                tenant.as_str(),
                connection.opened_at.plus(CHECK_INTERVAL),
            )))
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":slots", set(&[slot]))
            .expression_attribute_values(":slot", number(slot))
            .expression_attribute_values(":limit", number(limit));
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Releases slots. Slots that are not taken are ignored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn release(&self, tenant: &TenantId, slots: &[ConnectionSlot]) -> Result<(), StorageError> {
        // DynamoDB has no empty sets.
        if slots.is_empty() {
            return Ok(());
        }
        let update = self.table.update(key(tenant)).update_expression("DELETE slots :slots");
        update.expression_attribute_values(":slots", set(slots)).send().await?;
        Ok(())
    }

    /// Lists the slots that are taken.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list(&self, tenant: &TenantId) -> Result<BTreeSet<ConnectionSlot>, StorageError> {
        let output = self.table.get(key(tenant)).send().await?;
        Ok(output.item.map(|item| slots_in(&item)).unwrap_or_default())
    }

    /// Claims the probe of a tenant's connections, so that one process at a time probes them, at most once an `interval`.
    /// Returns the slots that are taken; `None` when they were probed within the interval.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn claim_probe(
        &self,
        tenant: &TenantId,
        interval: Duration,
        now: Timestamp,
    ) -> Result<Option<BTreeSet<ConnectionSlot>>, StorageError> {
        let update = self
            .table
            .update(key(tenant))
            .update_expression(format!("{SET_VERSION}, probed_at = :now"))
            .condition_expression("attribute_not_exists(probed_at) OR probed_at <= :latest")
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":now", number(now.as_millis()))
            .expression_attribute_values(":latest", number(now.minus(interval).as_millis()))
            .return_values(ReturnValue::AllNew);
        let output = unless_refused(update.send().await)?;
        Ok(output.map(|output| output.attributes.map(|item| slots_in(&item)).unwrap_or_default()))
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

    /// The tenants whose connections are queued for maintenance.
    #[must_use]
    pub fn maintenance_queue(&self) -> MaintenanceQueue<TenantId> {
        MaintenanceQueue::new(&self.table, |item| TenantId::from_row(text_of(item, "pk")?))
    }

    /// Dequeues a tenant without connections; otherwise, or if the caller knows that the tenant `has_connections`,
    /// postpones it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn dequeue_or_postpone(
        &self,
        entry: &QueueEntry<TenantId>,
        has_connections: bool,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let queue = self.maintenance_queue();
        if has_connections || !queue.dequeue_if(entry, "attribute_not_exists(slots)", None).await? {
            queue.postpone(entry, now.plus(CHECK_INTERVAL)).await?;
        }
        Ok(())
    }
}

fn key(tenant: &TenantId) -> Key {
    Key::new(tenant, SLOTS)
}

fn set(slots: &[ConnectionSlot]) -> AttributeValue {
    AttributeValue::Ns(slots.iter().map(ToString::to_string).collect())
}

fn slots_in(item: &Item) -> BTreeSet<ConnectionSlot> {
    let names = item.get("slots").and_then(|slots| slots.as_ns().ok());
    names.into_iter().flatten().filter_map(|name| ConnectionSlot::parse(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_as_they_are_written() {
        let slots =
            ["1769851800120000001", "1769851800120000002"].map(|name| ConnectionSlot::parse(name).expect("a slot"));
        let item = Item::from([("slots".to_owned(), set(&slots))]);
        assert_eq!(slots_in(&item), BTreeSet::from(slots));
        assert!(slots_in(&Item::new()).is_empty());
    }
}
