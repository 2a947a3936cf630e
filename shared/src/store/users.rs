//! Users: how many chats they have, and whether they were ever here. They live beside their chats.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#user#{user_id}` | `~user` | `chat_count`, `first_connected_at` and by which socket, `first_socket` |

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use serde::Deserialize;

use super::{Chats, StoreError, transaction};
use crate::{
    id::{ConnectionId, TenantId, UserId},
    time::Timestamp,
};

#[derive(Deserialize)]
struct UserItem {
    #[serde(default)]
    chat_count: u32,
}

impl Chats {
    /// Notes that a user has connected. True once in the user's life: for the first socket, however often it is sent.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn greet(
        &self,
        tenant: &TenantId,
        user: &UserId,
        socket: &ConnectionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(user_key(tenant, user)))
            .update_expression("SET first_connected_at = :now, first_socket = :socket")
            .condition_expression("attribute_not_exists(first_connected_at) OR first_socket = :socket")
            .expression_attribute_values(":socket", AttributeValue::S(socket.to_string()))
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()));
        match transaction::update(update).await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How many chats a user has: exact at once, since making and deleting a chat count it in the same transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn chat_count(&self, tenant: &TenantId, user: &UserId) -> Result<u32, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(user_key(tenant, user)))
            .projection_expression("chat_count")
            .consistent_read(true)
            .send()
            .await?;
        let user: Option<UserItem> = output.item.map(serde_dynamo::from_item).transpose()?;
        Ok(user.map_or(0, |user| user.chat_count))
    }

    /// Part of a transaction: the user has one chat more (1) or one less (-1).
    pub(super) fn count_chat(&self, tenant: &TenantId, user: &UserId, change: i32) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(user_key(tenant, user)))
            .update_expression("ADD chat_count :change")
            .expression_attribute_values(":change", AttributeValue::N(change.to_string()))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }
}

fn user_key(tenant: &TenantId, user: &UserId) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(format!("{tenant}#user#{user}"))),
        ("sk".to_owned(), AttributeValue::S("~user".to_owned())),
    ])
}
