//! Deleting a chat: gone at once, purged in time.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, DeleteRequest, TransactWriteItem, Update, WriteRequest};

use super::{
    Chats, PROFILE, STATE, StorageError, chat_key, chat_pk,
    places::gone_place,
    remains::LOOK_AT_DELETED,
    transaction::{self, ATTEMPTS, Written},
};
use crate::{
    domain::{
        id::{ChatId, TenantId, UserId},
        time::Timestamp,
    },
    storage::maintenance_queue,
};

impl Chats {
    /// Deletes a chat: at once it is gone for everyone. False when the tenant has no such chat.
    ///
    /// What is left of it is removed by [`purge`](Self::purge).
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn delete(&self, tenant: &TenantId, chat: &ChatId, now: Timestamp) -> Result<bool, StorageError> {
        match self.owner_of(tenant, chat).await? {
            Some(owner) => self.delete_owned(tenant, chat, &owner, now).await,
            None => Ok(false),
        }
    }

    /// As [`delete`](Self::delete), by a caller who knows whose the chat is: the chat goes and its owner has one less,
    /// in one transaction, so that a list is right from then on. The same write puts it on maintenance's agenda, in case
    /// that nobody gets round to purging it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn delete_owned(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        owner: &UserId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.mark_deleted(tenant, chat, owner, None, now).await
    }

    /// Deletes a chat, also on the condition that nothing has happened in it since it was seen idle.
    pub(super) async fn mark_deleted(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        owner: &UserId,
        idle_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let mut mark = Update::builder()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, STATE)))
            // `owner` is a reserved word in expressions.
            .update_expression(format!(
                "SET deleted_at = :now, place = :gone, {} REMOVE #owner, active_at",
                maintenance_queue::MARK
            ))
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":gone", AttributeValue::S(gone_place(owner, now)));
        for (name, value) in maintenance_queue::mark(&chat_pk(tenant, chat), now.plus(LOOK_AT_DELETED)) {
            mark = mark.expression_attribute_values(name, value);
        }
        let mut condition = "attribute_exists(pk) AND attribute_not_exists(deleted_at)".to_owned();
        if let Some(idle_since) = idle_since {
            condition += " AND active_at = :idle_since AND size(streams) = :none";
            mark = mark
                .expression_attribute_values(":idle_since", AttributeValue::S(idle_since.to_string()))
                .expression_attribute_values(":none", AttributeValue::N("0".to_owned()));
        }
        let mark = mark.condition_expression(condition).build().expect("table, key and expression are set");
        let profile = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, PROFILE)))
            .build()
            .expect("table and key are set");
        let items = vec![
            TransactWriteItem::builder().update(mark).build(),
            TransactWriteItem::builder().delete(profile).build(),
            self.count_chat(tenant, owner, -1),
        ];
        Ok(matches!(transaction::write(&self.client, items).await?, Written::Committed))
    }

    /// Removes what is left of a deleted chat: its messages, and last the mark that it was deleted. Can be run again
    /// where it was cut off.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn purge(&self, tenant: &TenantId, chat: &ChatId) -> Result<(), StorageError> {
        while self.purge_some(tenant, chat).await? {}
        Ok(())
    }

    /// One step of [`purge`](Self::purge). False when it was the last.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn purge_some(&self, tenant: &TenantId, chat: &ChatId) -> Result<bool, StorageError> {
        /// What one `BatchWriteItem` takes.
        const BATCH: i32 = 25;
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk < :top")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .expression_attribute_values(":top", AttributeValue::S("~".to_owned()))
            .projection_expression("pk, sk")
            .limit(BATCH)
            .consistent_read(true)
            .send()
            .await?;
        let keys = output.items.unwrap_or_default();
        if keys.is_empty() {
            let mark = chat_key(tenant, chat, STATE);
            self.client.delete_item().table_name(&self.table).set_key(Some(mark)).send().await?;
            return Ok(false);
        }
        let deletes = keys.into_iter().map(|key| {
            let delete = DeleteRequest::builder().set_key(Some(key)).build().expect("the key is set");
            WriteRequest::builder().delete_request(delete).build()
        });
        let request = self.client.batch_write_item().request_items(&self.table, deletes.collect());
        let unprocessed = request.send().await?.unprocessed_items.unwrap_or_default();
        // What is left is still there for the next step, but the table is short of capacity.
        if !unprocessed.is_empty() {
            transaction::back_off(ATTEMPTS).await;
        }
        Ok(true)
    }
}
