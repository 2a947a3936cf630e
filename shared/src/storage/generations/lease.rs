//! What a streamer may do with its answer, for as long as the answer is its own.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};

use super::{
    Chats, End, Ended, Generation, HELD, Item, LEASE, MessageItem, Outcome, RENEW, RunningGeneration, StorageError,
    chat_key, chunks, item, lease_names, sk,
};
use crate::{
    domain::{
        id::{ChatId, MessageId, TenantId},
        message::Status,
        time::Timestamp,
    },
    storage::{
        transaction::{self, Written},
        unless_refused,
    },
};

/// What became of the end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishResult {
    /// It is stored.
    Stored,
    /// Nothing is: someone else has ended the answer, or the chat was deleted.
    Lost,
}

/// A streamer's hold on its answer.
#[derive(Debug)]
pub struct GenerationLease {
    pub(super) chats: Chats,
    pub(super) tenant: TenantId,
    pub(super) chat: ChatId,
    pub(super) generation: Generation,
    /// How many chunks are saved, and how many were begun to be.
    saved: AtomicU32,
    begun: AtomicU32,
    lapses_at: Mutex<Timestamp>,
}

impl Chats {
    /// Holds an answer for whoever was given its lease.
    #[must_use]
    pub fn lease(&self, tenant: &TenantId, chat: &ChatId, generation: &Generation) -> GenerationLease {
        GenerationLease {
            chats: self.clone(),
            tenant: tenant.clone(),
            chat: chat.clone(),
            lapses_at: Mutex::new(generation.lease.lapses_at),
            generation: generation.clone(),
            saved: AtomicU32::new(0),
            begun: AtomicU32::new(0),
        }
    }
}

impl GenerationLease {
    /// When the lease lapses, by this machine's clock. Nothing may be said after that.
    #[must_use]
    pub fn lapses_at(&self) -> Timestamp {
        *self.lapses_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves what the answer has said since the last time, and renews the lease. False when the hold is lost; then
    /// nothing is saved.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer. Trying again with a longer text is right: it takes the place of
    /// this one.
    pub async fn save(&self, text: &str, now: Timestamp) -> Result<bool, StorageError> {
        let number = self.saved.load(Ordering::Relaxed);
        self.begun.store(number + 1, Ordering::Relaxed);
        let lapses_at = now.plus(LEASE);
        let renewal = Update::builder()
            .table_name(&self.chats.table)
            .set_key(Some(self.key()))
            .update_expression(RENEW)
            .condition_expression(HELD)
            .set_expression_attribute_names(Some(lease_names()))
            .set_expression_attribute_values(Some(self.renewal(lapses_at)))
            .build()
            .expect("table, key and expression are set");
        let piece = Put::builder()
            .table_name(&self.chats.table)
            .set_item(Some(chunks::chunk(&self.tenant, &self.chat, &self.generation.message_id, number, text)?))
            .build()
            .expect("table and item are set");
        let items =
            vec![TransactWriteItem::builder().update(renewal).build(), TransactWriteItem::builder().put(piece).build()];
        match transaction::write(&self.chats.client, items).await? {
            Written::Committed => {
                self.saved.store(number + 1, Ordering::Relaxed);
                self.note_renewal(lapses_at);
                Ok(true)
            }
            Written::Refused { .. } => Ok(false),
        }
    }

    /// Renews the lease. False when the hold is lost.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn renew(&self, now: Timestamp) -> Result<bool, StorageError> {
        let lapses_at = now.plus(LEASE);
        let update = self
            .chats
            .client
            .update_item()
            .table_name(&self.chats.table)
            .set_key(Some(self.key()))
            .update_expression(RENEW)
            .condition_expression(HELD)
            .set_expression_attribute_names(Some(lease_names()))
            .set_expression_attribute_values(Some(self.renewal(lapses_at)));
        let renewed = unless_refused(transaction::update(update).await)?.is_some();
        if renewed {
            self.note_renewal(lapses_at);
        }
        Ok(renewed)
    }

    /// Stores how the answer ended.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn finish(&self, outcome: &Outcome, now: Timestamp) -> Result<FinishResult, StorageError> {
        let stored = match (&self.generation.replaces, outcome.status) {
            (Some(old), Status::Complete) => self.replace(old, outcome, now).await?,
            _ => self.store(outcome, now).await?,
        };
        Ok(if stored { FinishResult::Stored } else { FinishResult::Lost })
    }

    /// Removes what only a running answer needs, and last takes it off the list of those that run. Returns the record
    /// that was there. If the process dies before, the next one who looks at the chat does it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn tidy(&self) -> Result<Option<RunningGeneration>, StorageError> {
        let answer = &self.generation.message_id;
        let chunks = 0..self.begun.load(Ordering::Relaxed);
        self.chats.remove_chunks(&self.tenant, &self.chat, answer, chunks).await?;
        self.chats.forget_stream(&self.tenant, &self.chat, answer).await
    }

    async fn store(&self, outcome: &Outcome, now: Timestamp) -> Result<bool, StorageError> {
        let end = End {
            content: &outcome.content,
            status: outcome.status,
            finish_reason: outcome.finish_reason,
            usage: Some(outcome.usage),
            first_token_ms: outcome.first_token_ms,
            completed_at: now,
        };
        match self.chats.end(&self.tenant, &self.chat, &self.generation, HELD, &end).await? {
            Ended::Stored => Ok(true),
            // A write whose answer was lost was made again by the SDK, and refused for what it had done itself.
            Ended::Refused(Some(there)) => Ok(there.message_id == self.generation.message_id
                && there.status == outcome.status
                && there.completed_at == Some(now)),
            Ended::Refused(None) => Ok(false),
        }
    }

    /// Puts the answer into the place of the one that it replaces.
    async fn replace(&self, old: &MessageId, outcome: &Outcome, now: Timestamp) -> Result<bool, StorageError> {
        let Some(draft) = self.chats.item(&self.tenant, &self.chat, &self.generation.sk()).await? else {
            return self.is_in_place().await;
        };
        let answer = MessageItem {
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
        let mut item = item::to_item(answer)?;
        item.extend(chat_key(&self.tenant, &self.chat, &sk(self.generation.seq)));
        let put = Put::builder()
            .table_name(&self.chats.table)
            .set_item(Some(item))
            .condition_expression("message_id = :old")
            .expression_attribute_values(":old", AttributeValue::S(old.to_string()))
            .build()
            .expect("table and item are set");
        let delete = Delete::builder()
            .table_name(&self.chats.table)
            .set_key(Some(self.key()))
            .condition_expression(HELD)
            .set_expression_attribute_names(Some(lease_names()))
            .expression_attribute_values(":token", self.token())
            .build()
            .expect("table and key are set");
        let items =
            vec![TransactWriteItem::builder().put(put).build(), TransactWriteItem::builder().delete(delete).build()];
        match transaction::write(&self.chats.client, items).await? {
            Written::Committed => Ok(true),
            Written::Refused { .. } => self.is_in_place().await,
        }
    }

    /// Whether the answer has its place already: an earlier try may have succeeded without anyone hearing of it.
    async fn is_in_place(&self) -> Result<bool, StorageError> {
        let there = self.chats.item(&self.tenant, &self.chat, &sk(self.generation.seq)).await?;
        Ok(there.is_some_and(|there| there.message_id == self.generation.message_id))
    }

    fn key(&self) -> Item {
        chat_key(&self.tenant, &self.chat, &self.generation.sk())
    }

    fn token(&self) -> AttributeValue {
        AttributeValue::S(self.generation.lease.token.clone())
    }

    fn renewal(&self, lapses_at: Timestamp) -> Item {
        Item::from([
            (":token".to_owned(), self.token()),
            (":lapses_at".to_owned(), AttributeValue::S(lapses_at.to_string())),
        ])
    }

    fn note_renewal(&self, lapses_at: Timestamp) {
        *self.lapses_at.lock().unwrap_or_else(PoisonError::into_inner) = lapses_at;
    }
}
