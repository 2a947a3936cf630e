//! What maintenance has to look at, and when.
//!
//! An item that has to be looked at later is marked: `due` says from when on, `due_shard` which part of the index `by_due`
//! lists it. The mark is written together with what it is for, so nothing is missed whoever dies where; and it is taken off
//! on the condition that there is nothing left that it is for. Items without a mark are not in the index, so whoever reads
//! it reads nothing else, however large the table is.

use aws_sdk_dynamodb::{Client, operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};
use sha2::{Digest, Sha256};

use super::{StorageError, item::Item, transaction, unless_refused};
use crate::domain::time::Timestamp;

/// How many items are read at once.
const PAGE: i32 = 100;

/// A part of the index: one alone could not take more than 1,000 writes a second.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueShard(u8);

/// The marked items of a table.
#[derive(Clone, Debug)]
pub struct MaintenanceQueue<T> {
    client: Client,
    table: String,
    read: fn(&Item) -> Option<T>,
}

/// An item that is due.
#[derive(Clone, Debug)]
pub struct QueueEntry<T> {
    /// Whose it is.
    pub what: T,
    key: Item,
    since: AttributeValue,
}

/// A part of what is due.
#[derive(Debug)]
pub struct QueuePage<T> {
    /// The items that are due, the longest first.
    pub items: Vec<QueueEntry<T>>,
    /// How many there are beside these whose keys nobody understands.
    pub unreadable: usize,
    /// Where to go on.
    pub next: Option<After>,
}

/// A place in an index, to go on from.
#[derive(Clone, Debug)]
pub struct After(pub(super) Item);

impl QueueShard {
    const COUNT: u8 = 8;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    fn of(pk: &str) -> Self {
        Self(Sha256::digest(pk).first().copied().unwrap_or_default() % Self::COUNT)
    }

    fn value(self) -> AttributeValue {
        AttributeValue::S(self.0.to_string())
    }
}

/// The assignments that mark an item, unless it is marked already.
pub(super) const MARK_ONCE: &str = "due = if_not_exists(due, :due), due_shard = if_not_exists(due_shard, :due_shard)";

/// The assignments that mark an item anew.
pub(super) const MARK: &str = "due = :due, due_shard = :due_shard";

/// What to remove to take a mark off.
pub(super) const UNMARK: &str = "due, due_shard";

/// The values of [`MARK`] and [`MARK_ONCE`] for an item below this key.
pub(super) fn mark(pk: &str, due: Timestamp) -> [(String, AttributeValue); 2] {
    [(":due".to_owned(), AttributeValue::S(due.to_string())), (":due_shard".to_owned(), QueueShard::of(pk).value())]
}

impl<T> MaintenanceQueue<T> {
    pub(super) fn new(client: &Client, table: &str, read: fn(&Item) -> Option<T>) -> Self {
        Self { client: client.clone(), table: table.to_owned(), read }
    }

    /// What is due by now in a part of the index, which follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn page(
        &self,
        shard: QueueShard,
        now: Timestamp,
        after: Option<After>,
    ) -> Result<QueuePage<T>, StorageError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_due")
            .key_condition_expression("due_shard = :shard AND due <= :now")
            .expression_attribute_values(":shard", shard.value())
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .limit(PAGE)
            .set_exclusive_start_key(after.map(|after| after.0))
            .send()
            .await?;
        let mut page = QueuePage { items: Vec::new(), unreadable: 0, next: output.last_evaluated_key.map(After) };
        for mut item in output.items.unwrap_or_default() {
            let what = (self.read)(&item);
            item.remove("due_shard");
            match (what, item.remove("due")) {
                (Some(what), Some(since)) => page.items.push(QueueEntry { what, key: item, since }),
                _ => page.unreadable += 1,
            }
        }
        Ok(page)
    }

    /// Marks an item for later, unless someone else has marked it anew.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn postpone(&self, due: &QueueEntry<T>, until: Timestamp) -> Result<(), StorageError> {
        let update = self
            .seen(due, "SET due = :later", "due = :seen")
            .expression_attribute_values(":later", AttributeValue::S(until.to_string()));
        unless_refused(transaction::update(update).await).map(drop)
    }

    /// Takes the mark off, on a condition on the item. False when that does not hold, or the item was marked anew.
    pub(super) async fn strike(
        &self,
        due: &QueueEntry<T>,
        condition: &str,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<bool, StorageError> {
        let mut update = self.seen(due, &format!("REMOVE {UNMARK}"), &format!("due = :seen AND {condition}"));
        if let Some((name, value)) = value {
            update = update.expression_attribute_values(name, value);
        }
        Ok(unless_refused(transaction::update(update).await)?.is_some())
    }

    fn seen(&self, due: &QueueEntry<T>, change: &str, condition: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(due.key.clone()))
            .update_expression(change)
            .condition_expression(condition)
            .expression_attribute_values(":seen", due.since.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::id::ChatId;

    #[test]
    fn all_parts_of_the_index_are_used() {
        let used: BTreeSet<u8> = (0..500).map(|_| QueueShard::of(ChatId::generate().as_str()).0).collect();
        assert_eq!(used, QueueShard::all().map(|shard| shard.0).collect());
    }
}
