//! The repository of chats, and reads of one chat.

use aws_sdk_dynamodb::Client;

use crate::{
    domain::{
        chat::{Chat, ChatConfig},
        id::{ChatId, TenantId, UserId},
    },
    storage::{
        chat_state::ChatStates,
        error::StorageError,
        idempotency::IdempotencyRepository,
        item::text,
        keys::{ABOVE_MESSAGES, PROFILE, chat_key, chat_pk},
        records::chat::{ChatRecord, ProfileRecord},
        settlement::Settlement,
        table::Table,
        users::UserRepository,
    },
};

/// The chats of tenants.
#[derive(Clone, Debug)]
pub struct ChatRepository {
    pub(super) table: Table,
    pub(super) states: ChatStates,
    pub(super) settlement: Settlement,
    pub(super) users: UserRepository,
    pub(super) idempotency: IdempotencyRepository,
}

impl ChatRepository {
    /// The chats in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        let table = Table::new(client, table_name);
        Self {
            states: ChatStates::new(&table),
            settlement: Settlement::new(&table),
            users: UserRepository::in_table(&table),
            idempotency: IdempotencyRepository::in_table(&table),
            table,
        }
    }

    /// Reads a chat; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn get(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<Chat>, StorageError> {
        let output = self
            .table
            .query()
            .key_condition_expression("pk = :pk AND sk >= :above_messages")
            .expression_attribute_values(":pk", text(chat_pk(tenant, chat)))
            .expression_attribute_values(":above_messages", text(ABOVE_MESSAGES))
            .send()
            .await?;
        let record = ChatRecord::take(&mut output.items.unwrap_or_default())?;
        record.map(|record| record.into_chat(chat.clone())).transpose()
    }

    /// Reads the configuration of a chat; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn config_of(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<ChatConfig>, StorageError> {
        let profile: Option<ProfileRecord> = self.table.get_as(chat_key(tenant, chat, PROFILE)).await?;
        Ok(profile.map(|profile| profile.config))
    }

    /// Reads who owns a chat; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn owner_of(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<UserId>, StorageError> {
        Ok(self.states.get(tenant, chat).await?.map(|state| state.user_id))
    }
}
