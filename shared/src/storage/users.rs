//! Users: how many chats they have, and whether they were ever here. They live beside their chats.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#user#{user_id}` | `~user` | `chat_count`, `first_connected_at` and by which socket, `first_socket` |
//!
//! Whatever writes a user puts the item into the index `by_tenant`, which costs nothing once it is there.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use serde::Deserialize;

use super::{
    Chats, StorageError,
    chats::{placed, user_place},
    item::{self, SET_VERSION, version},
    transaction, unless_refused,
};
use crate::domain::{
    id::{ConnectionId, TenantId, UserId},
    time::Timestamp,
};

/// A user, as the table knows one.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserRecord {
    /// How many chats there are.
    #[serde(default)]
    pub chat_count: u32,
    /// When the user first connected.
    #[serde(default)]
    pub first_connected_at: Option<Timestamp>,
}

impl Chats {
    /// Notes that a user has connected. True once in the user's life: for the first socket, however often it is sent.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn greet(
        &self,
        tenant: &TenantId,
        user: &UserId,
        socket: &ConnectionId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(user_key(tenant, user)))
            .update_expression(format!("{SET_VERSION}, first_connected_at = :now, first_socket = :socket, {PLACE}"))
            .condition_expression("attribute_not_exists(first_connected_at) OR first_socket = :socket")
            .set_expression_attribute_values(Some(place_values(tenant, user)))
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":socket", AttributeValue::S(socket.to_string()))
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()));
        Ok(unless_refused(transaction::update(update).await)?.is_some())
    }

    /// How many chats a user has: exact at once, since making and deleting a chat count it in the same transaction.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn chat_count(&self, tenant: &TenantId, user: &UserId) -> Result<u32, StorageError> {
        Ok(self.user(tenant, user).await?.unwrap_or_default().chat_count)
    }

    /// What is known of a user; `None` for one who never had a chat, nor connected.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn user(&self, tenant: &TenantId, user: &UserId) -> Result<Option<UserRecord>, StorageError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(user_key(tenant, user)))
            .consistent_read(true)
            .send()
            .await?;
        output.item.map(item::from_item).transpose()
    }

    /// Removes a user who has no chats, or all the same when no chat can be made any more. False when the user has some.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn forget_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        all_the_same: bool,
    ) -> Result<bool, StorageError> {
        let mut delete = self.client.delete_item().table_name(&self.table).set_key(Some(user_key(tenant, user)));
        if !all_the_same {
            delete = delete
                .condition_expression("attribute_not_exists(chat_count) OR chat_count <= :none")
                .expression_attribute_values(":none", AttributeValue::N("0".to_owned()));
        }
        Ok(unless_refused(delete.send().await)?.is_some())
    }

    /// Part of a transaction: the user has one chat more (1) or one less (-1).
    pub(super) fn count_chat(&self, tenant: &TenantId, user: &UserId, change: i32) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(user_key(tenant, user)))
            .update_expression(format!("{SET_VERSION}, {PLACE} ADD chat_count :change"))
            .set_expression_attribute_values(Some(place_values(tenant, user)))
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":change", AttributeValue::N(change.to_string()))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }
}

/// The assignments that put a user into the index.
const PLACE: &str = "tenant = :tenant, place = :place";

fn place_values(tenant: &TenantId, user: &UserId) -> HashMap<String, AttributeValue> {
    placed(tenant, user_place(user)).map(|(name, value)| (format!(":{name}"), value)).into()
}

fn user_key(tenant: &TenantId, user: &UserId) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(format!("{tenant}#user#{user}"))),
        ("sk".to_owned(), AttributeValue::S("~user".to_owned())),
    ])
}
