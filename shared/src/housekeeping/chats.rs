//! Chats that are deleted and not purged yet, and answers whose streamers died.

use std::time::Duration;

use super::{Run, round::Came};
use crate::{
    answer,
    error::ApiError,
    id::{ChatId, MessageId, TenantId},
    message::Status,
    store::{Due, Lapsed, Remains, StoreError},
    time::Timestamp,
};

/// How long the sockets of a chat are told that an answer has ended: less than what a run leaves of its function's time.
const TELLING: Duration = Duration::from_secs(30);

impl Run<'_> {
    pub(super) async fn chats(&self) -> Result<(), StoreError> {
        self.round(&self.house.chats.agenda(), async |due| self.chat(due).await).await
    }

    async fn chat(&self, due: &Due<(TenantId, ChatId)>) -> Result<Came, StoreError> {
        let (tenant, chat) = &due.what;
        match self.house.chats.remains(tenant, chat).await? {
            Remains::Nothing => Ok(Came::Through),
            Remains::Deleted => {
                let came = self.clear_away(tenant, chat).await?;
                if came == Came::Through {
                    self.tally.count(|done| done.chats_purged += 1);
                }
                Ok(came)
            }
            Remains::Answers(answers) => {
                for answer in answers {
                    if self.is_over() {
                        return Ok(Came::SoFar);
                    }
                    self.end(tenant, chat, &answer).await?;
                }
                self.house.chats.settle(due, self.now).await?;
                Ok(Came::Through)
            }
        }
    }

    /// Closes the sockets of a deleted chat and purges it, as far as there is time.
    pub(super) async fn clear_away(&self, tenant: &TenantId, chat: &ChatId) -> Result<Came, StoreError> {
        let sockets = self.house.sockets.connections.of_chat(tenant, chat, Timestamp::now()).await?;
        let reason = ApiError::chat_not_found(chat.as_str());
        self.house.sockets.publisher.close_all(&sockets, &reason, self.request_id).await;
        while self.house.chats.purge_some(tenant, chat).await? {
            if self.is_over() {
                return Ok(Came::SoFar);
            }
        }
        Ok(Came::Through)
    }

    /// Ends an answer whose streamer is gone, and tells the chat's sockets.
    async fn end(&self, tenant: &TenantId, chat: &ChatId, answer: &MessageId) -> Result<(), StoreError> {
        let lapsed = self.house.chats.end_lapsed(tenant, chat, answer, Status::Interrupted, self.now).await?;
        if let Lapsed::Ended { answer, record: Some(record) } = lapsed {
            self.tally.count(|done| done.answers_ended += 1);
            let waiting = record.waiting();
            let telling = answer::tell_end(&self.house.sockets, (tenant, chat), *answer, &waiting, self.request_id);
            // Whoever does not hear of it in time reads the answer, or resumes.
            if tokio::time::timeout(TELLING, telling).await.is_err() {
                tracing::warn!(request_id = self.request_id, "sockets were not told of an end in time");
            }
        }
        Ok(())
    }
}
