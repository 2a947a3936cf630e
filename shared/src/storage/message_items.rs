//! Reading message items by key, with the saved text of generations that run.

use futures_util::future::try_join;

use super::{
    chunks::Chunks,
    error::StorageError,
    keys::{chat_key, draft_sk, message_sk},
    records::message::MessageRecord,
    table::Table,
};
use crate::domain::{
    id::{ChatId, MessageId, TenantId},
    message::{Role, Status},
};

/// The message items of chats.
#[derive(Clone, Debug)]
pub(super) struct MessageItems {
    table: Table,
    chunks: Chunks,
}

impl MessageItems {
    pub(super) fn new(table: &Table) -> Self {
        Self { table: table.clone(), chunks: Chunks::new(table) }
    }

    /// Reads a message by its sort key.
    pub(super) async fn get(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        sk: &str,
    ) -> Result<Option<MessageRecord>, StorageError> {
        self.table.get_as(chat_key(tenant, chat, sk)).await
    }

    /// Finds an assistant message by its id: in its place, or a draft.
    pub(super) async fn find(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
    ) -> Result<Option<MessageRecord>, StorageError> {
        let Some(seq) = message.seq() else { return Ok(None) };
        let (in_place, draft) = (message_sk(seq), draft_sk(message));
        let (in_place, draft) = try_join(self.get(tenant, chat, &in_place), self.get(tenant, chat, &draft)).await?;
        let matches = |record: &MessageRecord| record.message_id == *message && record.role == Role::Assistant;
        Ok(in_place.filter(matches).or(draft))
    }

    /// Fills the saved text into a message that is still being generated.
    pub(super) async fn with_saved_text(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        mut message: MessageRecord,
    ) -> Result<MessageRecord, StorageError> {
        if message.status != Status::Streaming {
            return Ok(message);
        }
        let saved = self.chunks.read(tenant, chat, &message.message_id).await?;
        // If the generation ended meanwhile, its chunks may have been deleted during the read.
        if let Some(ended) = self.get(tenant, chat, &message.sk()).await?
            && ended.message_id == message.message_id
            && ended.status != Status::Streaming
        {
            return Ok(ended);
        }
        message.content = saved.text;
        Ok(message)
    }
}
