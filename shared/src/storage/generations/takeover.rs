//! Answers of which others than their streamer want to know: how they stand, and whether their streamer is still there.

use futures_util::future::{try_join, try_join_all};

use super::{
    ActiveStream, CLOCKS, Chats, End, Ended, Generation, LEASE, MessageItem, RunningGeneration, StorageError,
    UNTOUCHED, draft_sk, sk,
};
use crate::{
    domain::{
        id::{ChatId, MessageId, TenantId},
        message::{FinishReason, Message, Role, Status},
        time::Timestamp,
    },
    runtime::telemetry,
    storage::Conversation,
};

/// An answer as it is stored.
#[derive(Clone, Debug)]
pub struct FinishedGeneration {
    /// The answer, with all that is saved of it.
    pub message: Message,
    /// The answer whose place it was to take.
    pub replaces: Option<MessageId>,
    /// The model that gave it.
    pub model: String,
    /// How long its first token took, if that is known.
    pub first_token_ms: Option<u64>,
}

/// What becomes of an answer whose streamer may be gone.
#[derive(Debug)]
pub enum Takeover {
    /// Its streamer is there, or was until a moment ago.
    StillOwned,
    /// It has ended, now or before.
    Ended {
        /// The answer.
        answer: Box<FinishedGeneration>,
        /// Its record, to the one who took it off the list: that one tells the chat's sockets of the end, but not those
        /// that wait in the record, each of which has someone of its own.
        record: Option<RunningGeneration>,
    },
    /// There is no such answer.
    Unknown,
}

impl FinishedGeneration {
    fn of(item: MessageItem, chat: &ChatId, now: Timestamp) -> Self {
        Self {
            replaces: item.replaces.clone(),
            model: item.model.clone().unwrap_or_default(),
            first_token_ms: item.first_token_ms,
            message: item.shown(chat, now),
        }
    }
}

impl Chats {
    /// Finds an answer by its id; `None` when the chat has none with it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn answer(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        now: Timestamp,
    ) -> Result<Option<FinishedGeneration>, StorageError> {
        let Some(item) = self.answer_item(tenant, chat, answer).await? else { return Ok(None) };
        Ok(Some(FinishedGeneration::of(self.with_saved(tenant, chat, item).await?, chat, now)))
    }

    /// Ends an answer as `status` if its streamer is gone; once, whoever else tries.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn take_over(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        status: Status,
        now: Timestamp,
    ) -> Result<Takeover, StorageError> {
        let Some(mut item) = self.answer_item(tenant, chat, answer).await? else {
            return self.forget_unknown(tenant, chat, answer).await;
        };
        let chunks;
        if let Some(generation) = Generation::of(&item) {
            if generation.lease.lapses_at.plus(CLOCKS) > now {
                return Ok(Takeover::StillOwned);
            }
            let finish_reason = if status == Status::Cancelled { FinishReason::Cancelled } else { FinishReason::Error };
            (item.content, chunks) = self.said(tenant, chat, answer).await?;
            let end = End {
                content: &item.content,
                status,
                finish_reason,
                usage: None,
                first_token_ms: None,
                completed_at: generation.lease.lapses_at,
            };
            match self.end(tenant, chat, &generation, UNTOUCHED, &end).await? {
                Ended::Stored => {
                    telemetry::interrupted(tenant);
                    item.status = status;
                    item.finish_reason = Some(finish_reason);
                    item.completed_at = Some(generation.lease.lapses_at);
                    item.lease = None;
                }
                // It was renewed, or ended by someone else.
                Ended::Refused(Some(there)) if there.lease.is_some() => return Ok(Takeover::StillOwned),
                Ended::Refused(Some(there)) => item = *there,
                Ended::Refused(None) => return self.forget_unknown(tenant, chat, answer).await,
            }
        } else if item.completed_at.is_some_and(|ended| ended.plus(LEASE + CLOCKS) > now) {
            // Its streamer is just tidying up, and context the sockets.
            return Ok(Takeover::StillOwned);
        } else {
            // Its streamer died between its end and the tidying.
            chunks = self.said(tenant, chat, answer).await?.1;
        }
        self.remove_chunks(tenant, chat, answer, 0..chunks).await?;
        let record = self.forget_stream(tenant, chat, answer).await?;
        Ok(Takeover::Ended { answer: Box::new(FinishedGeneration::of(item, chat, now)), record })
    }

    /// Takes an answer off the list that is nowhere else: the draft of one that was never tidied up is gone after a day.
    async fn forget_unknown(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
    ) -> Result<Takeover, StorageError> {
        let chunks = self.said(tenant, chat, answer).await?.1;
        self.remove_chunks(tenant, chat, answer, 0..chunks).await?;
        self.forget_stream(tenant, chat, answer).await?;
        Ok(Takeover::Unknown)
    }

    /// Ends the answers of a conversation whose streamers are gone, so that they are part of it as far as they came.
    /// Returns those that the chat's sockets are to be told of, with their records.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn take_over_all(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        conversation: &mut Conversation,
        now: Timestamp,
    ) -> Result<Vec<(FinishedGeneration, RunningGeneration)>, StorageError> {
        let running = |stream: &RunningGeneration| {
            let seen = conversation.recent.iter().find(|message| message.message_id == stream.message_id);
            seen.is_some_and(|message| message.status == Status::Streaming)
        };
        let streams = conversation.seen.streams().iter();
        let suspects: Vec<MessageId> = streams
            .filter(|stream| stream.may_have_expired(now) && !running(stream))
            .map(|stream| stream.message_id.clone())
            .collect();
        let mut ended = Vec::new();
        for suspect in suspects {
            match self.take_over(tenant, chat, &suspect, Status::Interrupted, now).await? {
                Takeover::StillOwned => {}
                Takeover::Unknown => conversation.seen.forget(&suspect),
                Takeover::Ended { answer, record } => {
                    conversation.seen.forget(&suspect);
                    let place = conversation.recent.iter_mut().find(|message| message.message_id == suspect);
                    if let Some(message) = place {
                        *message = answer.message.clone();
                    }
                    ended.extend(record.map(|record| (*answer, record)));
                }
            }
        }
        Ok(ended)
    }

    /// Those of the chat's running answers whose streamers are there.
    pub(in crate::storage) async fn live_streams(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        streams: &[RunningGeneration],
        now: Timestamp,
    ) -> Result<Vec<ActiveStream>, StorageError> {
        let live = streams.iter().map(async |stream| {
            let is_live = !stream.may_have_expired(now)
                || self
                    .answer_item(tenant, chat, &stream.message_id)
                    .await?
                    .is_some_and(|answer| answer.lease.is_some_and(|lease| lease.lapses_at > now));
            Ok::<_, StorageError>(is_live.then(|| ActiveStream {
                message_id: stream.message_id.clone(),
                seq: stream.seq,
                in_reply_to: stream.in_reply_to.clone(),
            }))
        });
        Ok(try_join_all(live).await?.into_iter().flatten().collect())
    }

    /// The item of an answer: in its place, or a draft.
    async fn answer_item(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
    ) -> Result<Option<MessageItem>, StorageError> {
        let Some(seq) = answer.seq() else { return Ok(None) };
        let (in_place, draft) = (sk(seq), draft_sk(answer));
        let (in_place, draft) = try_join(self.item(tenant, chat, &in_place), self.item(tenant, chat, &draft)).await?;
        let is_it = |item: &MessageItem| item.message_id == *answer && item.role == Role::Assistant;
        Ok(in_place.filter(is_it).or(draft))
    }
}
