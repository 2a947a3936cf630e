//! The repository of generations, and reads.

use aws_sdk_dynamodb::Client;
use futures_util::future::try_join_all;

use crate::{
    domain::{
        generation::{ActiveStream, FinishedGeneration},
        id::{ChatId, MessageId, TenantId},
        time::Timestamp,
    },
    storage::{
        chat_state::ChatStates,
        chunks::Chunks,
        error::StorageError,
        generation_lease::GenerationLease,
        message_items::MessageItems,
        records::generation::{Generation, RunningGeneration},
        settlement::Settlement,
        table::Table,
    },
};

/// The generations of chats.
#[derive(Clone, Debug)]
pub struct GenerationRepository {
    pub(super) table: Table,
    pub(super) settlement: Settlement,
    pub(super) states: ChatStates,
    pub(super) messages: MessageItems,
    pub(super) chunks: Chunks,
}

impl GenerationRepository {
    /// The generations in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        let table = Table::new(client, table_name);
        let (states, messages, chunks) = (ChatStates::new(&table), MessageItems::new(&table), Chunks::new(&table));
        Self { settlement: Settlement::new(&table), table, states, messages, chunks }
    }

    /// The lease of a generation that the caller was given by an append or a regeneration.
    #[must_use]
    pub fn lease(&self, tenant: &TenantId, chat: &ChatId, generation: &Generation) -> GenerationLease {
        GenerationLease::new(&self.table, tenant, chat, generation)
    }

    /// Finds an assistant message by its id, running or ended; `None` when the chat has no such message.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn find(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        now: Timestamp,
    ) -> Result<Option<FinishedGeneration>, StorageError> {
        let Some(record) = self.messages.find(tenant, chat, message).await? else { return Ok(None) };
        Ok(Some(self.messages.with_saved_text(tenant, chat, record).await?.into_finished(chat, now)))
    }

    /// Reads the record of a generation that runs; `None` when it does not run.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn find_running(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
    ) -> Result<Option<RunningGeneration>, StorageError> {
        Ok(self.states.get(tenant, chat).await?.and_then(|mut state| state.generations.remove(message.as_str())))
    }

    /// Lists the generations of a chat whose leases last; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list_active(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<Option<Vec<ActiveStream>>, StorageError> {
        let Some(state) = self.states.get(tenant, chat).await? else { return Ok(None) };
        let active = state.generations.values().map(async |generation| {
            let is_active = !generation.may_have_expired(now)
                || self
                    .messages
                    .find(tenant, chat, &generation.message_id)
                    .await?
                    .is_some_and(|message| message.lease.is_some_and(|lease| lease.expires_at > now));
            Ok::<_, StorageError>(is_active.then(|| generation.to_active_stream()))
        });
        Ok(Some(try_join_all(active).await?.into_iter().flatten().collect()))
    }
}
