//! Creating a chat.

use super::repository::ChatRepository;
use crate::{
    domain::{
        chat::{Chat, NewChat},
        id::{ChatId, TenantId},
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        idempotency::{IdempotencyRecord, IdempotencyRequest},
        item::{self, text},
        keys::{PROFILE, chat_key, owner, state_key},
        records::chat::{ChatRecord, ProfileRecord, StateRecord},
        tenant_index::{chat_sort, index_attributes},
        transaction::{Transaction, TransactionPart, TransactionResult},
    },
};

/// The outcome of a request to create a chat.
#[derive(Debug)]
pub enum CreateResult {
    /// The chat is created.
    Created(Box<Chat>),
    /// The same request was made before; its response is returned again.
    Replayed {
        /// The chat that was created then.
        chat_id: ChatId,
        /// The body of the response, JSON.
        response: String,
    },
    /// The `Idempotency-Key` was used with another body.
    Mismatch,
}

impl ChatRepository {
    /// Creates a chat; with an idempotency key, once. All chats of a user change the user's item, so creates at the same time
    /// conflict, and are retried until the deadline of the request.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn create(
        &self,
        tenant: &TenantId,
        new: NewChat,
        request: Option<&IdempotencyRequest>,
        now: Timestamp,
    ) -> Result<CreateResult, StorageError> {
        let chat_id = ChatId::generate();
        let state = StateRecord::new(new.user_id.clone(), now);
        let profile = ProfileRecord {
            user_id: new.user_id,
            title: new.title,
            metadata: new.metadata.to_json()?,
            config: new.config,
            created_at: now,
            updated_at: now,
        };
        let mut state_item = item::to_item(&state)?;
        state_item.insert("owner".to_owned(), text(owner(tenant, &profile.user_id)));
        state_item.extend(index_attributes(tenant, chat_sort(now)));
        let profile_key = chat_key(tenant, &chat_id, PROFILE);
        let mut transaction = Transaction::new()
            .with(TransactionPart::create(&self.table, profile_key, item::to_item(&profile)?))
            .with(TransactionPart::create(&self.table, state_key(tenant, &chat_id), state_item))
            .with(self.users.count_chat(tenant, &profile.user_id, 1));
        let chat = ChatRecord { profile, state }.into_chat(chat_id)?;
        if let Some(request) = request {
            transaction = transaction.with(self.idempotency.put_record(tenant, request, &chat, now)?);
        }
        match transaction.commit_until_deadline(self.table.client()).await? {
            TransactionResult::Committed => Ok(CreateResult::Created(Box::new(chat))),
            TransactionResult::Refused { item: Some(item) } => Ok(replay(item::from_item(item)?, request)),
            // The new id is in use already, which no ULID should be.
            TransactionResult::Refused { item: None } => Err(StorageError::Contended { attempts: 1 }),
        }
    }
}

fn replay(record: IdempotencyRecord, request: Option<&IdempotencyRequest>) -> CreateResult {
    match request {
        Some(request) if request.matches(&record) => {
            CreateResult::Replayed { chat_id: record.chat_id, response: record.response }
        }
        _ => CreateResult::Mismatch,
    }
}
