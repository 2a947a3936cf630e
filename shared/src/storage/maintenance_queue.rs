//! The maintenance queue: which items the maintenance function has to process, and from when on.
//!
//! A queued item has `maintenance_at` and `maintenance_shard`; the index `by_maintenance` lists such items and no others,
//! so its size does not depend on the table's. An item is queued by the write that makes the work necessary, and
//! dequeued on the condition that no work is left. So no work is lost, wherever a process dies.

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};
use sha2::{Digest, Sha256};

use super::{
    conditional::unless_refused,
    error::StorageError,
    item::{Item, text},
    table::{IndexCursor, Key, Table},
    transaction::update_with_retry,
};
use crate::domain::time::Timestamp;

/// The index of the queued items, in each table.
const INDEX: &str = "by_maintenance";

/// How many items a page has.
const PAGE: i32 = 100;

/// Assignments that queue an item unless it is queued already; its values are [`queue_values`].
pub(super) const QUEUE_ONCE: &str = "maintenance_at = if_not_exists(maintenance_at, :maintenance_at), \
                                     maintenance_shard = if_not_exists(maintenance_shard, :maintenance_shard)";

/// Assignments that queue an item for a time, also if it is queued already; its values are [`queue_values`].
pub(super) const QUEUE: &str = "maintenance_at = :maintenance_at, maintenance_shard = :maintenance_shard";

/// The attributes to remove from an item to dequeue it.
pub(super) const QUEUE_ATTRIBUTES: &str = "maintenance_at, maintenance_shard";

/// The values of [`QUEUE`] and [`QUEUE_ONCE`] for an item of this partition.
pub(super) fn queue_values(pk: &str, at: Timestamp) -> Item {
    Item::from([
        (":maintenance_at".to_owned(), text(at)),
        (":maintenance_shard".to_owned(), QueueShard::of(pk).value()),
    ])
}

/// A part of the index. One partition of an index takes at most 1,000 writes a second.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueShard(u8);

/// The queued items of a table, each identified by a `T` that is read from its key.
#[derive(Clone, Debug)]
pub struct MaintenanceQueue<T> {
    table: Table,
    identify: fn(&Item) -> Option<T>,
}

/// A queued item.
#[derive(Clone, Debug)]
pub struct QueueEntry<T> {
    /// What the item belongs to.
    pub id: T,
    key: Key,
    queued_for: AttributeValue,
}

/// A page of the queue.
#[derive(Debug)]
pub struct QueuePage<T> {
    /// The entries, the oldest first.
    pub entries: Vec<QueueEntry<T>>,
    /// How many items the page has beside these, whose keys cannot be read.
    pub unreadable: usize,
    /// Where the next page starts.
    pub next: Option<IndexCursor>,
}

impl QueueShard {
    const COUNT: u8 = 8;

    /// All shards.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    fn of(pk: &str) -> Self {
        Self(Sha256::digest(pk).first().copied().unwrap_or_default() % Self::COUNT)
    }

    fn value(self) -> AttributeValue {
        text(self.0)
    }
}

impl<T> MaintenanceQueue<T> {
    pub(super) fn new(table: &Table, identify: fn(&Item) -> Option<T>) -> Self {
        Self { table: table.clone(), identify }
    }

    /// Lists the entries of a shard whose time has come. The index follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn page(
        &self,
        shard: QueueShard,
        now: Timestamp,
        after: Option<IndexCursor>,
    ) -> Result<QueuePage<T>, StorageError> {
        let output = self
            .table
            .query_index(INDEX)
            .key_condition_expression("maintenance_shard = :shard AND maintenance_at <= :now")
            .expression_attribute_values(":shard", shard.value())
            .expression_attribute_values(":now", text(now))
            .limit(PAGE)
            .set_exclusive_start_key(IndexCursor::into_start_key(after))
            .send()
            .await?;
        let next = IndexCursor::after(output.last_evaluated_key);
        let mut page = QueuePage { entries: Vec::new(), unreadable: 0, next };
        for mut item in output.items.unwrap_or_default() {
            match ((self.identify)(&item), item.remove("maintenance_at")) {
                (Some(id), Some(queued_for)) => {
                    page.entries.push(QueueEntry { id, key: Key::of(&item), queued_for });
                }
                _ => page.unreadable += 1,
            }
        }
        Ok(page)
    }

    /// Queues an entry for a later time, unless it was queued anew meanwhile.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn postpone(&self, entry: &QueueEntry<T>, until: Timestamp) -> Result<(), StorageError> {
        let update = self
            .update_unchanged(entry, "SET maintenance_at = :later", "")
            .expression_attribute_values(":later", text(until));
        unless_refused(update_with_retry(update).await).map(drop)
    }

    /// Dequeues an entry if a condition on its item holds. Returns false when it does not, or when the entry was queued
    /// anew meanwhile.
    pub(super) async fn dequeue_if(
        &self,
        entry: &QueueEntry<T>,
        condition: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<bool, StorageError> {
        let remove = format!("REMOVE {QUEUE_ATTRIBUTES}");
        let mut update = self.update_unchanged(entry, &remove, &format!(" AND {condition}"));
        if let Some((name, value)) = value {
            update = update.expression_attribute_values(name, value);
        }
        Ok(unless_refused(update_with_retry(update).await)?.is_some())
    }

    /// An update of an entry that has not been queued anew since it was read.
    fn update_unchanged(&self, entry: &QueueEntry<T>, change: &str, condition: &str) -> UpdateItemFluentBuilder {
        self.table
            .update(entry.key.clone())
            .update_expression(change)
            .condition_expression(format!("maintenance_at = :queued_for{condition}"))
            .expression_attribute_values(":queued_for", entry.queued_for.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::id::ChatId;

    #[test]
    fn items_spread_over_all_shards() {
        let used: BTreeSet<u8> = (0..500).map(|_| QueueShard::of(ChatId::generate().as_str()).0).collect();
        assert_eq!(used, QueueShard::all().map(|shard| shard.0).collect());
    }
}
