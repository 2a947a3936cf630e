//! Deleting a chat: at once it does not exist, then its messages are purged.

use super::repository::ChatRepository;
use crate::{
    domain::{
        id::{ChatId, TenantId, UserId},
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        item::text,
        keys::{ABOVE_MESSAGES, PROFILE, chat_key, chat_pk},
        table::{Key, WRITE_BATCH, batch_delete},
        transaction::{ATTEMPTS, Transaction, TransactionResult, back_off},
    },
};

impl ChatRepository {
    /// Deletes a chat and reads its owner first. Returns false when the tenant has no such chat. [`purge`](Self::purge) removes its
    /// messages.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId, chat: &ChatId, now: Timestamp) -> Result<bool, StorageError> {
        match self.owner_of(tenant, chat).await? {
            Some(owner) => self.delete_owned(tenant, chat, &owner, now).await,
            None => Ok(false),
        }
    }

    /// Deletes a chat whose owner is known. The chat and its owner's number of chats change in one transaction, so that
    /// the total of a list is exact. The same transaction queues the chat for maintenance, in case that its purge breaks
    /// off.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete_owned(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        owner: &UserId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.mark_deleted(tenant, chat, owner, None, now).await
    }

    /// Deletes a chat; with `idle_since`, only if nothing has happened in it since that time.
    pub(super) async fn mark_deleted(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        owner: &UserId,
        idle_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let transaction = Transaction::new()
            .with(self.states.mark_deleted(tenant, chat, owner, idle_since, now))
            .with(self.table.transaction_delete(chat_key(tenant, chat, PROFILE)).into())
            .with(self.users.count_chat(tenant, owner, -1));
        Ok(matches!(transaction.commit(self.table.client()).await?, TransactionResult::Committed))
    }

    /// Removes the messages of a deleted chat, and last its state. May be repeated after it broke off.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn purge(&self, tenant: &TenantId, chat: &ChatId) -> Result<(), StorageError> {
        while self.purge_batch(tenant, chat).await? {}
        Ok(())
    }

    /// One step of [`purge`](Self::purge). Returns false after the last.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn purge_batch(&self, tenant: &TenantId, chat: &ChatId) -> Result<bool, StorageError> {
        let output = self
            .table
            .query()
            .key_condition_expression("pk = :pk AND sk < :above_messages")
            .expression_attribute_values(":pk", text(chat_pk(tenant, chat)))
            .expression_attribute_values(":above_messages", text(ABOVE_MESSAGES))
            .projection_expression("pk, sk")
            .limit(i32::try_from(WRITE_BATCH).unwrap_or(i32::MAX))
            .send()
            .await?;
        let items = output.items.unwrap_or_default();
        if items.is_empty() {
            self.states.delete(tenant, chat).await?;
            return Ok(false);
        }
        let deletes = items.iter().map(|item| batch_delete(Key::of(item))).collect();
        // The next step finds what is left, but the table lacks capacity.
        if !self.table.write_batch(deletes).await?.is_empty() {
            back_off(ATTEMPTS).await;
        }
        Ok(true)
    }
}
