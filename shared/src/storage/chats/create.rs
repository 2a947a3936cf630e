//! Making a chat, once.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use serde::{Deserialize, Serialize};

use super::{
    Chats, PROFILE, Profile, STATE, State, StorageError, assemble, item, owner,
    places::{chat_place, once_place, placed},
    transaction::{self, Written},
};
use crate::domain::{
    api_key::sha256,
    chat::{Chat, NewChat},
    id::{ChatId, IdempotencyKey, TenantId},
    time::Timestamp,
};

/// How long the answer to a request that must run once is kept.
const ONCE: Duration = Duration::from_secs(24 * 60 * 60);

/// A request that must run once: the key that its caller gave it, and the hash of its body.
#[derive(Clone, Debug)]
pub struct IdempotencyRequest {
    key: IdempotencyKey,
    body_hash: String,
}

/// What became of a request to make a chat.
#[derive(Debug)]
pub enum CreateResult {
    /// The chat is made.
    Created(Box<Chat>),
    /// It was made before; this is what was answered then, as JSON.
    Replayed {
        /// The chat that was made.
        chat_id: ChatId,
        /// The answer's body.
        answer: String,
    },
    /// The key was used before, with another body.
    Mismatch,
}

#[derive(Serialize, Deserialize)]
struct IdempotencyRecord {
    body_hash: String,
    chat_id: ChatId,
    answer: String,
}

impl IdempotencyRequest {
    /// A request with this key and body.
    #[must_use]
    pub fn new(key: IdempotencyKey, body: &[u8]) -> Self {
        Self { key, body_hash: sha256(body) }
    }
}

impl CreateResult {
    fn replay(record: IdempotencyRecord, once: Option<&IdempotencyRequest>) -> Result<Self, StorageError> {
        Ok(match once {
            Some(once) if once.body_hash == record.body_hash => {
                Self::Replayed { chat_id: record.chat_id, answer: record.answer }
            }
            _ => Self::Mismatch,
        })
    }
}

impl Chats {
    /// Makes a chat; once, if the request says so.
    ///
    /// The record of a request that must run once is written in the same transaction as the chat, so there is no state
    /// between: a race, or a death half way, leaves one chat and one answer.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn create(
        &self,
        tenant: &TenantId,
        new: NewChat,
        once: Option<&IdempotencyRequest>,
        now: Timestamp,
    ) -> Result<CreateResult, StorageError> {
        let chat_id = ChatId::generate();
        let profile = Profile {
            user_id: new.user_id,
            title: new.title,
            metadata: new.metadata.to_json()?,
            config: new.config,
            created_at: now,
            updated_at: now,
        };
        let state = State {
            user_id: profile.user_id.clone(),
            message_count: 0,
            last_message_at: None,
            streams: BTreeMap::new(),
            deleted_at: None,
        };
        let mut state_item = item::to_item(&state)?;
        state_item.insert("owner".to_owned(), AttributeValue::S(owner(tenant, &profile.user_id)));
        state_item.insert("active_at".to_owned(), AttributeValue::S(now.to_string()));
        state_item.extend(placed(tenant, chat_place(now)));

        let mut items = vec![
            self.put_new(tenant, &chat_id, PROFILE, item::to_item(&profile)?),
            self.put_new(tenant, &chat_id, STATE, state_item),
            self.count_chat(tenant, &profile.user_id, 1),
        ];
        let chat = assemble(chat_id, profile, &state)?;
        if let Some(once) = once {
            items.push(self.put_once(tenant, once, &chat, now)?);
        }
        match transaction::write(&self.client, items).await? {
            Written::Committed => Ok(CreateResult::Created(Box::new(chat))),
            Written::Refused { item: Some(record) } => CreateResult::replay(item::from_item(record)?, once),
            // A ULID that was drawn twice.
            Written::Refused { item: None } => Err(StorageError::Contended { attempts: 1 }),
        }
    }

    fn put_once(
        &self,
        tenant: &TenantId,
        once: &IdempotencyRequest,
        chat: &Chat,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StorageError> {
        let record = IdempotencyRecord {
            body_hash: once.body_hash.clone(),
            chat_id: chat.chat_id.clone(),
            answer: serde_json::to_string(chat)?,
        };
        let expires_at = now.plus(ONCE);
        let mut item = item::to_item(record)?;
        item.extend([
            ("pk".to_owned(), AttributeValue::S(format!("{tenant}#once#{}", once.key))),
            ("sk".to_owned(), AttributeValue::S("~answer".to_owned())),
            ("expires_at".to_owned(), AttributeValue::S(expires_at.to_string())),
            ("ttl".to_owned(), AttributeValue::N(expires_at.as_seconds().to_string())),
        ]);
        item.extend(placed(tenant, once_place(&chat.user_id, now)));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            // Expired items are deleted up to two days late.
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table and item are set");
        Ok(TransactWriteItem::builder().put(put).build())
    }
}
