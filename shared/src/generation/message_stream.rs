//! What all writers of one assistant message share.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{coalescing::Load, sockets::Sockets, store::GenerationStore, text_buffer::TextBuffer, timings::Timings};
use crate::{
    domain::{
        connection::Connection,
        id::{ChatId, MessageId, TenantId},
        message::Message,
        time::Timestamp,
    },
    runtime::{clock::Clock, retry::retry_for, telemetry},
};

/// One assistant message on its way to the sockets of its chat.
#[derive(Debug)]
pub(super) struct MessageStream {
    pub(super) tenant_id: TenantId,
    pub(super) chat_id: ChatId,
    /// The user's message, to be acknowledged; `None` for a regeneration or a replay.
    pub(super) user_message: Option<Message>,
    pub(super) message: MessageInfo,
    /// The id under which errors are logged.
    pub(super) request_id: String,
    pub(super) buffer: TextBuffer,
    pub(super) sockets: Arc<dyn Sockets>,
    /// What gives the right to post; `None` for a replay.
    pub(super) lease: Option<Arc<dyn GenerationStore>>,
    pub(super) clock: Clock,
    pub(super) timings: Timings,
    /// How many generations run in the chat, as the owner last read.
    pub(super) generations: AtomicU32,
}

/// What `message_stream_started` says about the message.
#[derive(Clone, Debug)]
pub(super) struct MessageInfo {
    pub(super) message_id: MessageId,
    pub(super) seq: u32,
    pub(super) in_reply_to: MessageId,
    pub(super) replaces: Option<MessageId>,
    pub(super) model: String,
}

impl MessageStream {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether this process may post. A process may have been frozen for so long that another one has taken over. Any
    /// process may post a generation that has finished.
    pub(super) fn may_post(&self) -> bool {
        let is_owner = || self.lease.as_ref().is_none_or(|lease| lease.lease_expires_at() > self.now());
        is_owner() || self.buffer.is_finished()
    }

    /// What slows the frames of this message down.
    pub(super) fn load(&self) -> Load {
        let generations = self.generations.load(Ordering::Relaxed);
        Load { generations, posts_refused: self.sockets.has_refused_posts() }
    }

    /// The open connections of the chat; none when they cannot be read, which is logged.
    pub(super) async fn open_connections(&self) -> Vec<Connection> {
        let find = async || Ok(self.sockets.of_chat(&self.tenant_id, &self.chat_id, self.now()).await?);
        retry_for(self.timings.find_connections, find).await.unwrap_or_else(|error| {
            telemetry::log_attempt(&error, &self.request_id);
            Vec::new()
        })
    }
}
