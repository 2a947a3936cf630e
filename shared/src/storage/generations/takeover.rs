//! Takeover: ending a generation whose owner is gone.
//!
//! Two steps, so that a caller can report a new end even if the second fails: [`GenerationRepository::take_over`] stores
//! the end, [`GenerationRepository::clean_up`] removes what only a running generation needs. Both may be repeated.

use super::repository::GenerationRepository;
use crate::{
    domain::{
        generation::FinishedGeneration,
        id::{ChatId, MessageId, TenantId},
        message::{FinishReason, Status},
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        generation_end::{End, EndResult, EndedBy, write_end},
        records::{
            generation::{Generation, RunningGeneration},
            lease::{CLOCK_SKEW, LEASE_DURATION},
        },
    },
};

/// The outcome of a takeover.
#[derive(Debug)]
pub enum Takeover {
    /// The owner has the lease, or had it until a moment ago.
    StillOwned,
    /// The generation has ended, now or before.
    Ended(Box<EndedGeneration>),
    /// The chat has no such message.
    Unknown,
}

/// A generation that has ended and is to be cleaned up.
#[derive(Debug)]
pub struct EndedGeneration {
    /// The assistant message.
    pub generation: FinishedGeneration,
    /// Whether this takeover ended it. Of several takeovers one does.
    pub newly_ended: bool,
    chunk_count: u32,
}

impl GenerationRepository {
    /// Ends a generation with this status if its lease has expired.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn take_over(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        status: Status,
        now: Timestamp,
    ) -> Result<Takeover, StorageError> {
        let Some(mut record) = self.messages.find(tenant, chat, message).await? else {
            return self.remove_unknown(tenant, chat, message).await;
        };
        let chunk_count;
        let mut newly_ended = false;
        if let Some(generation) = Generation::of(&record) {
            if !generation.lease.allows_takeover(now) {
                return Ok(Takeover::StillOwned);
            }
            let finish_reason = if status == Status::Cancelled { FinishReason::Cancelled } else { FinishReason::Error };
            let saved = self.chunks.read(tenant, chat, message).await?;
            (record.content, chunk_count) = (saved.text, saved.next_number);
            let completed_at = generation.lease.expires_at;
            let end = End {
                content: &record.content,
                status,
                finish_reason,
                usage: None,
                first_token_ms: None,
                completed_at,
            };
            match write_end(&self.table, (tenant, chat), &generation, EndedBy::Takeover, &end).await? {
                EndResult::Stored => {
                    newly_ended = true;
                    record.status = status;
                    record.finish_reason = Some(finish_reason);
                    record.completed_at = Some(completed_at);
                    record.lease = None;
                }
                // The owner renewed the lease meanwhile, or another process ended the generation.
                EndResult::Refused(Some(current)) if current.lease.is_some() => return Ok(Takeover::StillOwned),
                EndResult::Refused(Some(current)) => record = *current,
                EndResult::Refused(None) => return self.remove_unknown(tenant, chat, message).await,
            }
        } else if record.completed_at.is_some_and(|ended| ended.plus(LEASE_DURATION + CLOCK_SKEW) > now) {
            // Its owner is still cleaning up and posting the end.
            return Ok(Takeover::StillOwned);
        } else {
            // Its owner died between the end and the cleanup.
            chunk_count = self.chunks.read(tenant, chat, message).await?.next_number;
        }
        let generation = record.into_finished(chat, now);
        Ok(Takeover::Ended(Box::new(EndedGeneration { generation, newly_ended, chunk_count })))
    }

    /// Releases the slot of a generation that has ended, then removes its chunks, then its record in the state, without
    /// which the slot would not be known. Of several callers one gets the record: that one posts the end to the chat's
    /// connections, except those with pending commands to resume, whose own invocations do.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn clean_up(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        ended: &EndedGeneration,
    ) -> Result<Option<RunningGeneration>, StorageError> {
        let message = &ended.generation.message.message_id;
        self.release_slot(tenant, chat, message).await?;
        self.chunks.delete(tenant, chat, message, 0..ended.chunk_count).await?;
        self.states.remove_generation(tenant, chat, message).await
    }

    /// Removes the record of a generation without a message: TTL deletes a draft after a day, also if it was never
    /// cleaned up.
    async fn remove_unknown(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
    ) -> Result<Takeover, StorageError> {
        self.release_slot(tenant, chat, message).await?;
        let chunk_count = self.chunks.read(tenant, chat, message).await?.next_number;
        self.chunks.delete(tenant, chat, message, 0..chunk_count).await?;
        self.states.remove_generation(tenant, chat, message).await?;
        Ok(Takeover::Unknown)
    }

    /// Releases the slot that a generation holds, by its record in the state.
    async fn release_slot(&self, tenant: &TenantId, chat: &ChatId, message: &MessageId) -> Result<(), StorageError> {
        let state = self.states.get_deleted_too(tenant, chat).await?;
        let slot =
            state.and_then(|mut state| state.generations.remove(message.as_str())).and_then(|record| record.slot);
        match slot {
            Some(slot) => self.budgets.release(tenant, slot).await,
            None => Ok(()),
        }
    }
}
