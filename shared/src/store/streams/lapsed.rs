//! Answers of which others than their streamer want to know: how they stand, and whether their streamer is still there.

use futures_util::future::{try_join, try_join_all};

use super::{
    CLOCKS, Chats, End, Ended, LEASE, LiveStream, MessageItem, Reply, StoreError, StreamRecord, UNTOUCHED, draft_sk, sk,
};
use crate::{
    id::{ChatId, MessageId, TenantId},
    message::{FinishReason, Message, Role, Status},
    store::Conversation,
    telemetry,
    time::Timestamp,
};

/// An answer as it is stored.
#[derive(Clone, Debug)]
pub struct Answer {
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
pub enum Lapsed {
    /// Its streamer is there, or was until a moment ago.
    Alive,
    /// It has ended, now or before.
    Ended {
        /// The answer.
        answer: Box<Answer>,
        /// Its record, to the one who took it off the list: that one tells the chat's sockets of the end, but not those
        /// that wait in the record, each of which has someone of its own.
        record: Option<StreamRecord>,
    },
    /// There is no such answer.
    Unknown,
}

impl Answer {
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
    /// [`StoreError`] when the table does not answer.
    pub async fn answer(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        now: Timestamp,
    ) -> Result<Option<Answer>, StoreError> {
        let Some(item) = self.answer_item(tenant, chat, answer).await? else { return Ok(None) };
        Ok(Some(Answer::of(self.with_saved(tenant, chat, item).await?, chat, now)))
    }

    /// Ends an answer as `status` if its streamer is gone; once, whoever else tries.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn end_lapsed(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        status: Status,
        now: Timestamp,
    ) -> Result<Lapsed, StoreError> {
        let Some(mut item) = self.answer_item(tenant, chat, answer).await? else {
            return self.forget_unknown(tenant, chat, answer).await;
        };
        let pieces;
        if let Some(reply) = Reply::of(&item) {
            if reply.lease.lapses_at.plus(CLOCKS) > now {
                return Ok(Lapsed::Alive);
            }
            let finish_reason = if status == Status::Cancelled { FinishReason::Cancelled } else { FinishReason::Error };
            (item.content, pieces) = self.said(tenant, chat, answer).await?;
            let end = End {
                content: &item.content,
                status,
                finish_reason,
                usage: None,
                first_token_ms: None,
                completed_at: reply.lease.lapses_at,
            };
            match self.end(tenant, chat, &reply, UNTOUCHED, &end).await? {
                Ended::Stored => {
                    telemetry::interrupted(tenant);
                    item.status = status;
                    item.finish_reason = Some(finish_reason);
                    item.completed_at = Some(reply.lease.lapses_at);
                    item.lease = None;
                }
                // It was renewed, or ended by someone else.
                Ended::Refused(Some(there)) if there.lease.is_some() => return Ok(Lapsed::Alive),
                Ended::Refused(Some(there)) => item = *there,
                Ended::Refused(None) => return self.forget_unknown(tenant, chat, answer).await,
            }
        } else if item.completed_at.is_some_and(|ended| ended.plus(LEASE + CLOCKS) > now) {
            // Its streamer is just tidying up, and telling the sockets.
            return Ok(Lapsed::Alive);
        } else {
            // Its streamer died between its end and the tidying.
            pieces = self.said(tenant, chat, answer).await?.1;
        }
        self.remove_pieces(tenant, chat, answer, 0..pieces).await?;
        let record = self.forget_stream(tenant, chat, answer).await?;
        Ok(Lapsed::Ended { answer: Box::new(Answer::of(item, chat, now)), record })
    }

    /// Takes an answer off the list that is nowhere else: the draft of one that was never tidied up is gone after a day.
    async fn forget_unknown(&self, tenant: &TenantId, chat: &ChatId, answer: &MessageId) -> Result<Lapsed, StoreError> {
        let pieces = self.said(tenant, chat, answer).await?.1;
        self.remove_pieces(tenant, chat, answer, 0..pieces).await?;
        self.forget_stream(tenant, chat, answer).await?;
        Ok(Lapsed::Unknown)
    }

    /// Ends the answers of a conversation whose streamers are gone, so that they are part of it as far as they came.
    /// Returns those that the chat's sockets are to be told of, with their records.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn end_all_lapsed(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        conversation: &mut Conversation,
        now: Timestamp,
    ) -> Result<Vec<(Answer, StreamRecord)>, StoreError> {
        let running = |stream: &StreamRecord| {
            let seen = conversation.recent.iter().find(|message| message.message_id == stream.message_id);
            seen.is_some_and(|message| message.status == Status::Streaming)
        };
        let streams = conversation.seen.streams().iter();
        let suspects: Vec<MessageId> = streams
            .filter(|stream| stream.may_have_lapsed(now) && !running(stream))
            .map(|stream| stream.message_id.clone())
            .collect();
        let mut ended = Vec::new();
        for suspect in suspects {
            match self.end_lapsed(tenant, chat, &suspect, Status::Interrupted, now).await? {
                Lapsed::Alive => {}
                Lapsed::Unknown => conversation.seen.forget(&suspect),
                Lapsed::Ended { answer, record } => {
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
    pub(in crate::store) async fn live_streams(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        streams: &[StreamRecord],
        now: Timestamp,
    ) -> Result<Vec<LiveStream>, StoreError> {
        let live = streams.iter().map(async |stream| {
            let is_live = !stream.may_have_lapsed(now)
                || self
                    .answer_item(tenant, chat, &stream.message_id)
                    .await?
                    .is_some_and(|answer| answer.lease.is_some_and(|lease| lease.lapses_at > now));
            Ok::<_, StoreError>(is_live.then(|| LiveStream {
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
    ) -> Result<Option<MessageItem>, StoreError> {
        let Some(seq) = answer.seq() else { return Ok(None) };
        let (in_place, draft) = (sk(seq), draft_sk(answer));
        let (in_place, draft) = try_join(self.item(tenant, chat, &in_place), self.item(tenant, chat, &draft)).await?;
        let is_it = |item: &MessageItem| item.message_id == *answer && item.role == Role::Assistant;
        Ok(in_place.filter(is_it).or(draft))
    }
}
