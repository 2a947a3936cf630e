//! The index `by_tenant`: what a tenant has in the chats table.
//!
//! | `tenant_id` | `tenant_sort` | item |
//! |---|---|---|
//! | tenant | `chat#{time}` | the state of a chat; it was last active at that time or later, see `chats/idle` |
//! | tenant | `deleted_chat#{user_id}#{time}` | the state of a chat that is deleted and not purged yet |
//! | tenant | `user#{user_id}` | a user |
//! | tenant | `idempotency#{user_id}#{time}` | an idempotency record |
//!
//! The sort key of a chat does not change with its messages, since that would cost two more writes a message.

use aws_sdk_dynamodb::{Client, types::AttributeValue};

use super::{
    error::StorageError,
    item::{Item, text},
    keys::{Aggregate, aggregate_of},
    table::{IndexCursor, Key, Table},
};
use crate::domain::{
    id::{ChatId, TenantId, UserId},
    time::Timestamp,
};

/// The index's name.
pub(super) const INDEX: &str = "by_tenant";

/// How many items a page has.
const PAGE: i32 = 100;

/// The index of what a tenant has.
#[derive(Clone, Debug)]
pub struct TenantIndex {
    table: Table,
}

/// Something that a tenant has.
#[derive(Clone, Debug)]
pub enum TenantItem {
    /// A chat, live or deleted, with its messages.
    Chat(ChatId),
    /// A user.
    User(UserId),
    /// An idempotency record.
    IdempotencyRecord(IdempotencyRecordKey),
}

/// The key of an idempotency record.
#[derive(Clone, Debug)]
pub struct IdempotencyRecordKey(pub(super) Key);

/// A page of what a tenant has.
#[derive(Debug)]
pub struct TenantItemPage {
    /// The items.
    pub items: Vec<TenantItem>,
    /// Where the next page starts.
    pub next: Option<IndexCursor>,
}

/// Which items to list.
#[derive(Clone, Debug)]
pub enum TenantItemKind<'a> {
    /// All of them.
    All,
    /// A user's chats that are deleted and not purged yet.
    DeletedChats(&'a UserId),
    /// A user's idempotency records.
    IdempotencyRecords(&'a UserId),
}

/// The sort key that all chats lie at or above.
pub(super) const FIRST_CHAT: &str = "chat#";

pub(super) fn chat_sort(active_at: Timestamp) -> String {
    format!("{FIRST_CHAT}{active_at}")
}

pub(super) fn deleted_chat_sort(user: &UserId, now: Timestamp) -> String {
    format!("deleted_chat#{user}#{now}")
}

pub(super) fn idempotency_sort(user: &UserId, now: Timestamp) -> String {
    format!("idempotency#{user}#{now}")
}

pub(super) fn user_sort(user: &UserId) -> String {
    format!("user#{user}")
}

/// The attributes that put an item into the index.
pub(super) fn index_attributes(tenant: &TenantId, sort: String) -> [(String, AttributeValue); 2] {
    [("tenant_id".to_owned(), text(tenant)), ("tenant_sort".to_owned(), text(sort))]
}

impl TenantIndex {
    /// The index of this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self { table: Table::new(client, table_name) }
    }

    /// Lists what a tenant has of a kind. The index follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list(
        &self,
        tenant: &TenantId,
        kind: &TenantItemKind<'_>,
        after: Option<IndexCursor>,
    ) -> Result<TenantItemPage, StorageError> {
        let prefix = match kind {
            TenantItemKind::All => None,
            TenantItemKind::DeletedChats(user) => Some(format!("deleted_chat#{user}#")),
            TenantItemKind::IdempotencyRecords(user) => Some(format!("idempotency#{user}#")),
        };
        let condition = prefix.as_ref().map_or("", |_| " AND begins_with(tenant_sort, :prefix)");
        let query = self
            .table
            .query_index(INDEX)
            .key_condition_expression(format!("tenant_id = :tenant{condition}"))
            .expression_attribute_values(":tenant", text(tenant))
            .set_exclusive_start_key(IndexCursor::into_start_key(after))
            .limit(PAGE);
        let query = match prefix {
            Some(prefix) => query.expression_attribute_values(":prefix", text(prefix)),
            None => query,
        };
        let output = query.send().await?;
        let items = output.items.unwrap_or_default().iter().filter_map(|item| tenant_item(tenant, item)).collect();
        Ok(TenantItemPage { items, next: IndexCursor::after(output.last_evaluated_key) })
    }
}

fn tenant_item(tenant: &TenantId, item: &Item) -> Option<TenantItem> {
    Some(match aggregate_of(tenant, item)? {
        Aggregate::Chat(chat) => TenantItem::Chat(chat),
        Aggregate::User(user) => TenantItem::User(user),
        Aggregate::IdempotencyRecord => TenantItem::IdempotencyRecord(IdempotencyRecordKey(Key::of(item))),
    })
}
