//! Chats that are deleted and not purged yet, and answers whose streamers died.

use std::time::Duration;

use super::{Run, sweep::SweepResult};
use crate::{
    domain::{
        error::ApiError,
        id::{ChatId, MessageId, TenantId},
        message::Status,
        time::Timestamp,
    },
    generation::{self, TakeoverResult},
    storage::{PendingWork, QueueEntry, StorageError},
};

/// How long the sockets of a chat are told that an answer has ended: less than what a run leaves of its function's time.
const TELLING: Duration = Duration::from_secs(30);

impl Run<'_> {
    pub(super) async fn chats(&self) -> Result<(), StorageError> {
        self.round(&self.house.chats.maintenance_queue(), async |due| self.chat(due).await).await
    }

    async fn chat(&self, due: &QueueEntry<(TenantId, ChatId)>) -> Result<SweepResult, StorageError> {
        let (tenant, chat) = &due.id;
        match self.house.chats.pending_work(tenant, chat).await? {
            PendingWork::None => Ok(SweepResult::Complete),
            PendingWork::Purge => {
                let came = self.clear_away(tenant, chat).await?;
                if came == SweepResult::Complete {
                    self.tally.count(|done| done.chats_purged += 1);
                }
                Ok(came)
            }
            PendingWork::Generations(answers) => {
                for answer in answers {
                    if self.is_over() {
                        return Ok(SweepResult::Partial);
                    }
                    self.end(tenant, chat, &answer).await?;
                }
                self.house.chats.dequeue_or_postpone(due, self.now).await?;
                Ok(SweepResult::Complete)
            }
        }
    }

    /// Closes the sockets of a deleted chat and purges it, as far as there is time.
    pub(super) async fn clear_away(&self, tenant: &TenantId, chat: &ChatId) -> Result<SweepResult, StorageError> {
        let sockets = self.house.sockets.connections.list_by_chat(tenant, chat, Timestamp::now()).await?;
        let reason = ApiError::chat_not_found(chat.as_str());
        self.house.sockets.publisher.close_all(&sockets, &reason, self.request_id).await;
        while self.house.chats.purge_batch(tenant, chat).await? {
            if self.is_over() {
                return Ok(SweepResult::Partial);
            }
        }
        Ok(SweepResult::Complete)
    }

    /// Ends an answer whose streamer is gone, and tells the chat's sockets.
    async fn end(&self, tenant: &TenantId, chat: &ChatId, answer: &MessageId) -> Result<(), StorageError> {
        let lapsed =
            generation::take_over(&self.house.generations, (tenant, chat), answer, Status::Interrupted, self.now)
                .await?;
        if let TakeoverResult::Ended { generation, record: Some(record) } = lapsed {
            self.tally.count(|done| done.answers_ended += 1);
            let waiting = record.pending_resumes();
            let context =
                generation::announce_end(&self.house.sockets, (tenant, chat), *generation, &waiting, self.request_id);
            // Whoever does not hear of it in time reads the answer, or resumes.
            if tokio::time::timeout(TELLING, context).await.is_err() {
                tracing::warn!(request_id = self.request_id, "sockets were not told of an end in time");
            }
        }
        Ok(())
    }
}
