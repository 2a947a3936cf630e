//! What a tenant has in the table, by the index `by_tenant` (`tenant`, `place`).
//!
//! | `place` | item |
//! |---|---|
//! | `chat#{time}` | the state of a chat; the time is that of its last activity, or an earlier one, see `idle` |
//! | `gone#{user_id}#{time}` | the state of a chat that is deleted and not purged yet |
//! | `user#{user_id}` | a user |
//! | `once#{user_id}#{time}` | the record of a request that must run once |
//!
//! The index costs nothing while a chat is used: its place does not change with its messages.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Chats, Item, StorageError, chat_of};
use crate::{
    domain::{
        id::{ChatId, TenantId, UserId},
        time::Timestamp,
    },
    storage::maintenance_queue::After,
};

/// How many items are listed at once.
const PAGE: i32 = 100;

/// Something that a tenant has.
#[derive(Clone, Debug)]
pub enum Owned {
    /// A chat, with all that is below it.
    Chat(ChatId),
    /// A user: how many chats, when first connected.
    User(UserId),
    /// The record of a request that must run once.
    IdempotencyRecord(Record),
}

/// Which record it is.
#[derive(Clone, Debug)]
pub struct Record(Item);

/// A part of what a tenant has.
#[derive(Debug)]
pub struct OwnedPage {
    /// What is there.
    pub items: Vec<Owned>,
    /// Where to go on.
    pub next: Option<After>,
}

/// A kind of thing that a tenant has.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// All that there is.
    All,
    /// Chats of a user that are deleted and not purged yet.
    Gone(&'a UserId),
    /// Records of a user's requests that must run once.
    IdempotencyRecord(&'a UserId),
}

pub(super) fn chat_place(active_at: Timestamp) -> String {
    format!("chat#{active_at}")
}

pub(super) fn gone_place(user: &UserId, now: Timestamp) -> String {
    format!("gone#{user}#{now}")
}

pub(super) fn once_place(user: &UserId, now: Timestamp) -> String {
    format!("once#{user}#{now}")
}

pub(in crate::storage) fn user_place(user: &UserId) -> String {
    format!("user#{user}")
}

/// The attributes that put an item into the index.
pub(in crate::storage) fn placed(tenant: &TenantId, place: String) -> [(String, AttributeValue); 2] {
    [("tenant".to_owned(), AttributeValue::S(tenant.to_string())), ("place".to_owned(), AttributeValue::S(place))]
}

impl Chats {
    /// What a tenant has of a kind. The index follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn owned(
        &self,
        tenant: &TenantId,
        kind: &Kind<'_>,
        after: Option<After>,
    ) -> Result<OwnedPage, StorageError> {
        let prefix = match kind {
            Kind::All => None,
            Kind::Gone(user) => Some(format!("gone#{user}#")),
            Kind::IdempotencyRecord(user) => Some(format!("once#{user}#")),
        };
        let condition = prefix.as_ref().map_or("", |_| " AND begins_with(place, :prefix)");
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_tenant")
            .key_condition_expression(format!("tenant = :tenant{condition}"))
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_string()))
            .set_exclusive_start_key(after.map(|after| after.0))
            .limit(PAGE);
        let output = match prefix {
            Some(prefix) => output.expression_attribute_values(":prefix", AttributeValue::S(prefix)),
            None => output,
        };
        let output = output.send().await?;
        let items = output.items.unwrap_or_default().into_iter().filter_map(|item| owned(tenant, item)).collect();
        Ok(OwnedPage { items, next: output.last_evaluated_key.map(After) })
    }

    /// Removes the record of a request that must run once.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn delete_idempotency_record(&self, Record(key): Record) -> Result<(), StorageError> {
        self.client.delete_item().table_name(&self.table).set_key(Some(key)).send().await?;
        Ok(())
    }
}

fn owned(tenant: &TenantId, mut item: Item) -> Option<Owned> {
    if let Some(chat) = chat_of(tenant, &item) {
        return Some(Owned::Chat(chat));
    }
    let rest = item.get("pk")?.as_s().ok()?.strip_prefix(tenant.as_str())?.strip_prefix('#')?;
    if let Some(user) = rest.strip_prefix("user#") {
        return UserId::parse(user).map(Owned::User);
    }
    rest.strip_prefix("once#")?;
    item.retain(|name, _| name == "pk" || name == "sk");
    Some(Owned::IdempotencyRecord(Record(item)))
}
