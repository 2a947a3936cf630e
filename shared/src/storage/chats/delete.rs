//! Deleting a chat: at once it does not exist, then its messages are purged.

use std::time::Duration;

use tokio::time::sleep;

use super::repository::ChatRepository;
use crate::{
    domain::{
        id::{ChatId, TenantId, UserId},
        message::Usage,
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        item::text,
        keys::{ABOVE_MESSAGES, PROFILE, chat_key, chat_pk},
        records::lease::{CLOCK_SKEW, LEASE_DURATION},
        table::{Key, WRITE_BATCH, batch_delete},
        transaction::{ATTEMPTS, Transaction, TransactionResult, back_off},
    },
};

/// How often [`ChatRepository::purge`] looks whether the generations have ended. Owners notice a deletion within a second.
const ENDING_INTERVAL: Duration = Duration::from_millis(500);

/// What a step of a purge has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeStep {
    /// It has removed items; there may be more.
    Purged,
    /// All items are removed but the state: generations are still ending.
    GenerationsEnding,
    /// Nothing is left.
    Complete,
}

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

    /// Removes the messages of a deleted chat, and last its state. Waits for generations that still run, as long as their
    /// owners may need to notice the deletion. May be repeated after it broke off.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn purge(&self, tenant: &TenantId, chat: &ChatId) -> Result<(), StorageError> {
        loop {
            match self.purge_step(tenant, chat, Timestamp::now()).await? {
                PurgeStep::Purged => {}
                PurgeStep::GenerationsEnding => sleep(ENDING_INTERVAL).await,
                PurgeStep::Complete => return Ok(()),
            }
        }
    }

    /// One step of [`purge`](Self::purge).
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn purge_step(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<PurgeStep, StorageError> {
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
            let is_done = self.states.delete(tenant, chat).await? || self.settle_and_delete(tenant, chat, now).await?;
            return Ok(if is_done { PurgeStep::Complete } else { PurgeStep::GenerationsEnding });
        }
        let deletes = items.iter().map(|item| batch_delete(Key::of(item))).collect();
        // The next step finds what is left, but the table lacks capacity.
        if !self.table.write_batch(deletes).await?.is_empty() {
            back_off(ATTEMPTS).await;
        }
        Ok(PurgeStep::Purged)
    }

    /// Counts the usage that is left in the state of a deleted chat, and deletes it. Returns false while generations run
    /// whose owners may not have noticed the deletion. Those that are gone are charged by an estimate of their input: their
    /// text is purged.
    async fn settle_and_delete(&self, tenant: &TenantId, chat: &ChatId, now: Timestamp) -> Result<bool, StorageError> {
        let Some(state) = self.states.get_deleted_too(tenant, chat).await? else { return Ok(true) };
        if state.deleted_at.is_some_and(|deleted_at| deleted_at.plus(LEASE_DURATION + CLOCK_SKEW) <= now) {
            for running in state.generations.values() {
                let usage = Usage::estimated(running.input_tokens, "");
                self.settlement.settle((tenant, chat), running, usage, now).await?;
            }
        }
        self.settlement.count_left((tenant, chat), &state).await?;
        self.states.delete(tenant, chat).await
    }
}
