//! Users.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#user#{user_id}` | `~user` | `chat_count`, `first_connected_at`, `first_connection_id` |
//!
//! The item is in the index `by_tenant` from its first write on.

use aws_sdk_dynamodb::Client;
use serde::Deserialize;

use super::{
    conditional::unless_refused,
    error::StorageError,
    item::{Item, SET_VERSION, number, text, version},
    keys::user_key,
    table::Table,
    tenant_index::{index_attributes, user_sort},
    transaction::{TransactionPart, update_with_retry},
};
use crate::domain::{
    id::{ConnectionId, TenantId, UserId},
    time::Timestamp,
};

/// The users of tenants.
#[derive(Clone, Debug)]
pub struct UserRepository {
    table: Table,
}

/// What is stored of a user.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserRecord {
    /// How many chats the user has.
    #[serde(default)]
    pub chat_count: u32,
    /// When the user first connected.
    #[serde(default)]
    pub first_connected_at: Option<Timestamp>,
}

/// The assignments that put a user into the index `by_tenant`; its values are [`index_values`].
const SET_INDEX: &str = "tenant_id = :tenant_id, tenant_sort = :tenant_sort";

fn index_values(tenant: &TenantId, user: &UserId) -> Item {
    index_attributes(tenant, user_sort(user)).map(|(name, value)| (format!(":{name}"), value)).into()
}

impl UserRepository {
    /// The users in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Records that a user has connected. Returns true for the user's first connection, also if it is recorded again.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn record_connection(
        &self,
        tenant: &TenantId,
        user: &UserId,
        connection: &ConnectionId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self
            .table
            .update(user_key(tenant, user))
            .update_expression(format!(
                "{SET_VERSION}, first_connected_at = :now, first_connection_id = :connection, {SET_INDEX}"
            ))
            .condition_expression("attribute_not_exists(first_connected_at) OR first_connection_id = :connection")
            .set_expression_attribute_values(Some(index_values(tenant, user)))
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":connection", text(connection))
            .expression_attribute_values(":now", text(now));
        Ok(unless_refused(update_with_retry(update).await)?.is_some())
    }

    /// How many chats a user has. Exact, since the transactions that create and delete chats count them.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn chat_count(&self, tenant: &TenantId, user: &UserId) -> Result<u32, StorageError> {
        Ok(self.get(tenant, user).await?.unwrap_or_default().chat_count)
    }

    /// Reads a user; `None` for one who never had a chat and never connected.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn get(&self, tenant: &TenantId, user: &UserId) -> Result<Option<UserRecord>, StorageError> {
        self.table.get_as(user_key(tenant, user)).await
    }

    /// Deletes a user.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId, user: &UserId) -> Result<(), StorageError> {
        self.table.delete(user_key(tenant, user)).send().await?;
        Ok(())
    }

    /// Deletes a user who has no chats. Returns false when the user has some.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete_without_chats(&self, tenant: &TenantId, user: &UserId) -> Result<bool, StorageError> {
        let delete = self
            .table
            .delete(user_key(tenant, user))
            .condition_expression("attribute_not_exists(chat_count) OR chat_count <= :none")
            .expression_attribute_values(":none", number(0));
        Ok(unless_refused(delete.send().await)?.is_some())
    }

    /// Adds to a user's number of chats: 1 for a new chat, -1 for a deleted one.
    pub(super) fn count_chat(&self, tenant: &TenantId, user: &UserId, change: i32) -> TransactionPart {
        self.table
            .transaction_update(user_key(tenant, user))
            .update_expression(format!("{SET_VERSION}, {SET_INDEX} ADD chat_count :change"))
            .set_expression_attribute_values(Some(index_values(tenant, user)))
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":change", number(change))
            .into()
    }
}
