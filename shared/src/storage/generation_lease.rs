//! The handle of a generation's owner: what the owner may write while its lease lasts.
//!
//! Every write is conditional on the lease's token. If another process has taken over, or the chat was deleted, nothing is
//! written and the owner stops.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::Deserialize;

use super::{
    budgets::BudgetRepository,
    chat_state::{ChatStates, RemovedGeneration},
    chunks::Chunks,
    conditional::unless_refused,
    error::StorageError,
    generation_end::{End, EndResult, EndedBy, write_end},
    item::{self, Item, text},
    keys::{chat_key, message_sk, state_key},
    message_items::MessageItems,
    records::{
        generation::{Generation, ResumeCommand, RunningGeneration},
        lease::{LEASE_DURATION, OWNED, RENEW, lease_names},
        message::MessageRecord,
        usage::UncountedUsage,
    },
    table::{Key, Table},
    transaction::{Transaction, TransactionPart, TransactionResult, update_with_retry},
    usage::UsageRepository,
};
use crate::domain::{
    generation::Outcome,
    id::{ChatId, ConnectionId, MessageId, TenantId},
    message::{Status, Usage},
    time::Timestamp,
};

/// The outcome of [`GenerationLease::finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishResult {
    /// The end is stored.
    Stored,
    /// Nothing is stored: another process ended the generation, or the chat was deleted.
    Lost,
}

/// The stream commands that an owner finds.
#[derive(Debug)]
pub enum PendingCommands {
    /// The chat was deleted.
    ChatDeleted,
    /// The chat exists.
    Running {
        /// The connection that asked to cancel.
        cancelled_by: Option<ConnectionId>,
        /// The commands to resume that are not acknowledged.
        resumes: Vec<ResumeCommand>,
        /// How many generations run in the chat.
        generations: u32,
    },
}

/// The lease of a generation, held by its owner.
#[derive(Debug)]
pub struct GenerationLease {
    table: Table,
    budgets: BudgetRepository,
    usage: UsageRepository,
    states: ChatStates,
    messages: MessageItems,
    chunks: Chunks,
    tenant: TenantId,
    chat: ChatId,
    generation: Generation,
    /// How many chunks are saved.
    saved: AtomicU32,
    /// How many chunks there may be, including one whose save failed.
    attempted: AtomicU32,
    expires_at: Mutex<Timestamp>,
}

/// The part of the state that an owner polls.
#[derive(Deserialize)]
struct PolledState {
    #[serde(default)]
    deleted_at: Option<Timestamp>,
    #[serde(default)]
    generations: BTreeMap<String, RunningGeneration>,
}

impl GenerationLease {
    pub(super) fn new(table: &Table, tenant: &TenantId, chat: &ChatId, generation: &Generation) -> Self {
        Self {
            table: table.clone(),
            budgets: BudgetRepository::in_table(table),
            usage: UsageRepository::in_table(table),
            states: ChatStates::new(table),
            messages: MessageItems::new(table),
            chunks: Chunks::new(table),
            tenant: tenant.clone(),
            chat: chat.clone(),
            expires_at: Mutex::new(generation.lease.expires_at),
            generation: generation.clone(),
            saved: AtomicU32::new(0),
            attempted: AtomicU32::new(0),
        }
    }

    /// When the lease expires, by this machine's clock. The owner posts nothing after that.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        *self.expires_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves the text since the last chunk, and renews the lease. Returns false when the lease is lost; then nothing is
    /// saved.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails. A retry may have a longer text: it overwrites this chunk.
    pub async fn save(&self, text: &str, now: Timestamp) -> Result<bool, StorageError> {
        let number = self.saved.load(Ordering::Relaxed);
        self.attempted.store(number + 1, Ordering::Relaxed);
        let expires_at = now.plus(LEASE_DURATION);
        let renewal = self
            .table
            .transaction_update(self.key())
            .update_expression(RENEW)
            .condition_expression(OWNED)
            .set_expression_attribute_names(Some(lease_names()))
            .set_expression_attribute_values(Some(self.renewal_values(expires_at)));
        let chunk = self.chunks.put(&self.tenant, &self.chat, &self.generation.message_id, number, text, now)?;
        match Transaction::new().with(renewal.into()).with(chunk).commit(self.table.client()).await? {
            TransactionResult::Committed => {
                self.saved.store(number + 1, Ordering::Relaxed);
                self.set_expiry(expires_at);
                Ok(true)
            }
            TransactionResult::Refused { .. } => Ok(false),
        }
    }

    /// Renews the lease. Returns false when it is lost.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn renew(&self, now: Timestamp) -> Result<bool, StorageError> {
        let expires_at = now.plus(LEASE_DURATION);
        let update = self
            .table
            .update(self.key())
            .update_expression(RENEW)
            .condition_expression(OWNED)
            .set_expression_attribute_names(Some(lease_names()))
            .set_expression_attribute_values(Some(self.renewal_values(expires_at)));
        let renewed = unless_refused(update_with_retry(update).await)?.is_some();
        if renewed {
            self.set_expiry(expires_at);
        }
        Ok(renewed)
    }

    /// Stores how the generation ended. A complete regeneration replaces the old message.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn finish(&self, outcome: &Outcome, now: Timestamp) -> Result<FinishResult, StorageError> {
        let stored = match (&self.generation.replaces, outcome.status) {
            (Some(old), Status::Complete) => self.replace(old, outcome, now).await?,
            _ => self.store(outcome, now).await?,
        };
        Ok(if stored { FinishResult::Stored } else { FinishResult::Lost })
    }

    /// Settles what the generation has reserved of its tenant's budget. May be repeated.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn settle_budget(&self, usage: Usage) -> Result<(), StorageError> {
        match self.generation.lease.reservation {
            Some(reservation) => self.budgets.settle((&self.tenant, &self.chat), reservation, usage.tokens()).await,
            None => Ok(()),
        }
    }

    /// Removes the record of the generation, which has ended, from the state and returns it; `None` when another process
    /// has. If this process dies before, a takeover does it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn remove_record(
        &self,
        usage: Usage,
        ended_at: Timestamp,
    ) -> Result<Option<RemovedGeneration>, StorageError> {
        let uncounted = UncountedUsage::of_owner(&self.generation, usage, ended_at);
        self.states.end_generation(&self.tenant, &self.chat, &uncounted).await
    }

    /// Counts the usage of the generation after its record was removed. If the process dies before, maintenance does it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn count_usage(&self, removed: &RemovedGeneration) -> Result<(), StorageError> {
        self.usage.count(&self.tenant, &self.chat, &removed.user, &removed.uncounted).await
    }

    /// Deletes the chunks of the generation, which has ended. If the process dies before, TTL does it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete_chunks(&self) -> Result<(), StorageError> {
        let chunks = 0..self.attempted.load(Ordering::Relaxed);
        self.chunks.delete(&self.tenant, &self.chat, &self.generation.message_id, chunks).await
    }

    /// Polls the stream commands of this generation, with an eventually consistent read, which costs half.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn poll_commands(&self) -> Result<PendingCommands, StorageError> {
        let state = match self.poll_state(false).await? {
            Some(state) if state.deleted_at.is_none() => Some(state),
            // The read may be older than the chat.
            _ => self.poll_state(true).await?.filter(|state| state.deleted_at.is_none()),
        };
        let Some(mut state) = state else { return Ok(PendingCommands::ChatDeleted) };
        let generations = u32::try_from(state.generations.len()).unwrap_or(u32::MAX);
        let record = state.generations.remove(self.generation.message_id.as_str());
        let (cancelled_by, resumes) = record.map(|record| (record.cancelled_by, record.resumes)).unwrap_or_default();
        Ok(PendingCommands::Running { cancelled_by, resumes: resumes.into_values().collect(), generations })
    }

    /// Removes a command to resume, unless its connection has sent a newer one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn acknowledge(&self, resume: &ResumeCommand) -> Result<(), StorageError> {
        let update = self
            .table
            .update(state_key(&self.tenant, &self.chat))
            .update_expression("REMOVE generations.#message.resumes.#connection")
            .condition_expression("generations.#message.resumes.#connection.nonce = :nonce")
            .expression_attribute_names("#message", self.generation.message_id.as_str())
            .expression_attribute_names("#connection", resume.connection_id.as_str())
            .expression_attribute_values(":nonce", text(&resume.nonce));
        unless_refused(update_with_retry(update).await).map(drop)
    }

    async fn poll_state(&self, consistent: bool) -> Result<Option<PolledState>, StorageError> {
        let output = self
            .table
            .get(state_key(&self.tenant, &self.chat))
            .projection_expression("v, deleted_at, generations")
            .consistent_read(consistent)
            .send()
            .await?;
        output.item.map(item::from_item).transpose()
    }

    async fn store(&self, outcome: &Outcome, now: Timestamp) -> Result<bool, StorageError> {
        let end = End {
            content: &outcome.content,
            status: outcome.status,
            finish_reason: outcome.finish_reason,
            usage: outcome.usage,
            first_token_ms: outcome.first_token_ms,
            completed_at: now,
        };
        let chat = (&self.tenant, &self.chat);
        match write_end(&self.table, chat, &self.generation, EndedBy::Owner, &end).await? {
            EndResult::Stored => Ok(true),
            // After a lost response the SDK writes again, and the condition fails on the first write.
            EndResult::Refused(Some(current)) => Ok(current.message_id == self.generation.message_id
                && current.status == outcome.status
                && current.completed_at == Some(now)),
            EndResult::Refused(None) => Ok(false),
        }
    }

    /// Puts the new message into the place of the old one, and deletes the draft.
    async fn replace(&self, old: &MessageId, outcome: &Outcome, now: Timestamp) -> Result<bool, StorageError> {
        let Some(draft) = self.messages.get(&self.tenant, &self.chat, &self.generation.sk()).await? else {
            return self.has_replaced().await;
        };
        let message = MessageRecord {
            content: outcome.content.clone(),
            status: outcome.status,
            completed_at: Some(now),
            finish_reason: Some(outcome.finish_reason),
            usage: Some(outcome.usage),
            first_token_ms: outcome.first_token_ms,
            replaces: None,
            lease: None,
            ..draft
        };
        let mut item = item::to_item(message)?;
        chat_key(&self.tenant, &self.chat, &message_sk(self.generation.seq)).add_to(&mut item);
        let put = self
            .table
            .transaction_put(item)
            .condition_expression("message_id = :old")
            .expression_attribute_values(":old", text(old));
        let transaction = Transaction::new().with(put.into()).with(self.delete_draft());
        match transaction.commit(self.table.client()).await? {
            TransactionResult::Committed => Ok(true),
            TransactionResult::Refused { .. } => self.has_replaced().await,
        }
    }

    fn delete_draft(&self) -> TransactionPart {
        self.table
            .transaction_delete(self.key())
            .condition_expression(OWNED)
            .set_expression_attribute_names(Some(lease_names()))
            .expression_attribute_values(":token", text(&self.generation.lease.token))
            .into()
    }

    /// Whether the message has replaced the old one, by an earlier attempt whose response was lost.
    async fn has_replaced(&self) -> Result<bool, StorageError> {
        let current = self.messages.get(&self.tenant, &self.chat, &message_sk(self.generation.seq)).await?;
        Ok(current.is_some_and(|current| current.message_id == self.generation.message_id))
    }

    fn key(&self) -> Key {
        chat_key(&self.tenant, &self.chat, &self.generation.sk())
    }

    fn renewal_values(&self, expires_at: Timestamp) -> Item {
        Item::from([
            (":token".to_owned(), text(&self.generation.lease.token)),
            (":expires_at".to_owned(), text(expires_at)),
        ])
    }

    fn set_expiry(&self, expires_at: Timestamp) {
        *self.expires_at.lock().unwrap_or_else(PoisonError::into_inner) = expires_at;
    }
}
