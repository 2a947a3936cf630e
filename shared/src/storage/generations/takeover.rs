//! Takeover: ending a generation whose owner is gone.
//!
//! Two steps, so that a caller can report a new end even if the second fails: [`GenerationRepository::take_over`] stores
//! the end, [`GenerationRepository::clean_up`] removes what only a running generation needs. Both may be repeated.

use super::repository::GenerationRepository;
use crate::{
    domain::{
        generation::FinishedGeneration,
        id::{ChatId, MessageId, TenantId},
        message::{FinishReason, Status, Usage},
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
            return self.remove_unknown(tenant, chat, message, now).await;
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
            let usage = Usage::estimated(generation.lease.input_tokens, &record.content);
            let end =
                End { content: &record.content, status, finish_reason, usage, first_token_ms: None, completed_at };
            match write_end(&self.table, (tenant, chat), &generation, EndedBy::Takeover, &end).await? {
                EndResult::Stored => {
                    newly_ended = true;
                    record.status = status;
                    record.finish_reason = Some(finish_reason);
                    record.completed_at = Some(completed_at);
                    record.usage = Some(usage);
                    record.lease = None;
                }
                // The owner renewed the lease meanwhile, or another process ended the generation.
                EndResult::Refused(Some(current)) if current.lease.is_some() => return Ok(Takeover::StillOwned),
                EndResult::Refused(Some(current)) => record = *current,
                EndResult::Refused(None) => return self.remove_unknown(tenant, chat, message, now).await,
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

    /// Removes the chunks of a generation that has ended, and settles it: its record in the state goes last, since the
    /// rest is found by it. Of several callers one gets the record: that one posts the end to the chat's connections,
    /// except those with pending commands to resume, whose own invocations do.
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
        let message = &ended.generation.message;
        let Some(running) = self.running(tenant, chat, &message.message_id).await? else { return Ok(None) };
        self.chunks.delete(tenant, chat, &message.message_id, 0..ended.chunk_count).await?;
        let ended_at = message.completed_at.unwrap_or(message.created_at);
        self.settlement.settle((tenant, chat), &running, message.usage.unwrap_or_default(), ended_at).await
    }

    /// Removes the record of a generation without a message: TTL deletes a draft after a day, also if it was never
    /// cleaned up.
    async fn remove_unknown(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        now: Timestamp,
    ) -> Result<Takeover, StorageError> {
        if let Some(running) = self.running(tenant, chat, message).await? {
            let saved = self.chunks.read(tenant, chat, message).await?;
            let usage = Usage::estimated(running.input_tokens, &saved.text);
            self.chunks.delete(tenant, chat, message, 0..saved.next_number).await?;
            self.settlement.settle((tenant, chat), &running, usage, now).await?;
        }
        Ok(Takeover::Unknown)
    }

    /// Reads the record of a generation in the state, also of a deleted chat.
    async fn running(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
    ) -> Result<Option<RunningGeneration>, StorageError> {
        let state = self.states.get_deleted_too(tenant, chat).await?;
        Ok(state.and_then(|mut state| state.generations.remove(message.as_str())))
    }
}
