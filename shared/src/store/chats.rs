//! Chats.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `~profile` | what seldom changes: owner, title, metadata, config |
//! | `{tenant_id}#{chat_id}` | `~state` | what changes with every message: counter, last activity, live streams |
//! | `{tenant_id}#{chat_id}` | `m#{seq}` | a message, see `messages` |
//!
//! An update is billed by the size of the whole item, hence two items. Both sort above the messages, so that one
//! descending query brings them and the newest messages. The index `by_owner` (`{tenant_id}#{user_id}`, `active_at`)
//! holds a user's chats by last activity; only the state item is in it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Delete, DeleteRequest, Put, TransactWriteItem, Update, WriteRequest},
};
use serde::{Deserialize, Serialize};

use super::{StoreError, messages, transaction};
use crate::{
    chat::{Chat, ChatConfig, Metadata, NewChat, Title},
    id::{ChatId, MessageId, TenantId, UserId},
    time::Timestamp,
};

mod list;

const PROFILE: &str = "~profile";
const STATE: &str = "~state";

/// The chats table: chats, their messages, and the users who own them.
#[derive(Clone, Debug)]
pub struct Chats {
    pub(super) client: Client,
    pub(super) table: String,
}

/// A chat as an agent needs it, with its newest messages.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Who answers, and how.
    pub config: ChatConfig,
    /// How many messages there are.
    pub message_count: u32,
    /// The newest messages, oldest first.
    pub recent: Vec<crate::message::Message>,
}

/// An answer that is being streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveStream {
    /// The answer.
    pub message_id: MessageId,
    /// The answer's place in the chat.
    pub seq: u32,
    /// The message that is being answered.
    pub in_reply_to: MessageId,
}

#[derive(Serialize, Deserialize)]
struct Profile {
    user_id: UserId,
    title: Option<Title>,
    /// JSON text, which keeps numbers as they were written; DynamoDB's own have 38 digits.
    metadata: String,
    config: ChatConfig,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    user_id: UserId,
    pub(super) message_count: u32,
    last_message_at: Option<Timestamp>,
    /// The streams that run, by the id of their answer.
    streams: BTreeMap<String, StreamRecord>,
    /// Set when the chat is deleted: from then on it does not exist, and its messages are being purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StreamRecord {
    pub(super) message_id: MessageId,
    pub(super) seq: u32,
    pub(super) in_reply_to: MessageId,
    /// No stream outlives the function that sends it: from here on the record means nothing.
    pub(super) lapses_at: Timestamp,
}

impl Chats {
    /// The table of that name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Makes a chat.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn create(&self, tenant: &TenantId, new: NewChat, now: Timestamp) -> Result<Chat, StoreError> {
        let chat_id = ChatId::generate();
        let profile = Profile {
            user_id: new.user_id,
            title: new.title,
            metadata: serde_json::to_string(&new.metadata).map_err(|error| StoreError::Unreadable(error.into()))?,
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
        let mut state_item: Item = serde_dynamo::to_item(&state)?;
        state_item.insert("owner".to_owned(), AttributeValue::S(owner(tenant, &profile.user_id)));
        state_item.insert("active_at".to_owned(), AttributeValue::S(now.to_string()));

        let items = vec![
            self.put_new(tenant, &chat_id, PROFILE, serde_dynamo::to_item(&profile)?),
            self.put_new(tenant, &chat_id, STATE, state_item),
            self.count_chat(tenant, &profile.user_id, 1),
        ];
        match transaction::write(&self.client, items).await? {
            transaction::Written::Committed => assemble(chat_id, profile, &state),
            // A ULID that was drawn twice.
            transaction::Written::Refused { .. } => Err(StoreError::Contended { attempts: 1 }),
        }
    }

    /// Reads a chat; `None` when the tenant has none with this id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn get(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<Chat>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk >= :top")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .expression_attribute_values(":top", AttributeValue::S("~".to_owned()))
            .consistent_read(true)
            .send()
            .await?;
        match Head::take(&mut output.items.unwrap_or_default())? {
            Some(head) => assemble(chat.clone(), head.profile, &head.state).map(Some),
            None => Ok(None),
        }
    }

    /// Who owns a chat, and what is being streamed in it; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn presence(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<Option<(UserId, Vec<LiveStream>)>, StoreError> {
        Ok(self.state(tenant, chat).await?.map(|state| {
            let running = state.streams.into_values().filter(|stream| stream.lapses_at > now);
            let streams = running.map(|stream| LiveStream {
                message_id: stream.message_id,
                seq: stream.seq,
                in_reply_to: stream.in_reply_to,
            });
            (state.user_id, streams.collect())
        }))
    }

    /// Reads a chat with its newest `limit` messages, in one query; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn conversation(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        limit: u16,
    ) -> Result<Option<Conversation>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .scan_index_forward(false)
            .limit(i32::from(limit) + 2)
            .consistent_read(true)
            .send()
            .await?;
        let mut items = output.items.unwrap_or_default();
        let Some(head) = Head::take(&mut items)? else {
            return Ok(None);
        };
        let newest_first = items.into_iter().rev().map(|item| messages::from_item(chat, item));
        Ok(Some(Conversation {
            config: head.profile.config,
            message_count: head.state.message_count,
            recent: newest_first.collect::<Result<_, _>>()?,
        }))
    }

    /// Deletes a chat: at once it is gone for everyone. False when the tenant has no such chat.
    ///
    /// What is left of it is removed by [`purge`](Self::purge).
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn delete(&self, tenant: &TenantId, chat: &ChatId, now: Timestamp) -> Result<bool, StoreError> {
        let Some(state) = self.state(tenant, chat).await? else {
            return Ok(false);
        };
        let mark = Update::builder()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, STATE)))
            // `owner` is a reserved word in expressions.
            .update_expression("SET deleted_at = :now REMOVE #owner, active_at")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(deleted_at)")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .build()
            .expect("table, key and expression are set");
        let profile = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, PROFILE)))
            .build()
            .expect("table and key are set");
        let items = vec![
            TransactWriteItem::builder().update(mark).build(),
            TransactWriteItem::builder().delete(profile).build(),
            self.count_chat(tenant, &state.user_id, -1),
        ];
        let written = transaction::write(&self.client, items).await?;
        Ok(matches!(written, transaction::Written::Committed))
    }

    /// Removes what is left of a deleted chat: its messages, and last the mark that it was deleted. Can be run again
    /// where it was cut off.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn purge(&self, tenant: &TenantId, chat: &ChatId) -> Result<(), StoreError> {
        /// What one `BatchWriteItem` takes.
        const BATCH: i32 = 25;
        loop {
            let output = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk < :top")
                .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
                .expression_attribute_values(":top", AttributeValue::S("~".to_owned()))
                .projection_expression("pk, sk")
                .limit(BATCH)
                .consistent_read(true)
                .send()
                .await?;
            let keys = output.items.unwrap_or_default();
            if keys.is_empty() {
                break;
            }
            let deletes = keys.into_iter().map(|key| {
                let delete = DeleteRequest::builder().set_key(Some(key)).build().expect("the key is set");
                WriteRequest::builder().delete_request(delete).build()
            });
            // What comes back as unprocessed is still there for the next round.
            self.client.batch_write_item().request_items(&self.table, deletes.collect()).send().await?;
        }
        self.client.delete_item().table_name(&self.table).set_key(Some(chat_key(tenant, chat, STATE))).send().await?;
        Ok(())
    }

    pub(super) async fn state(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<State>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, STATE)))
            .consistent_read(true)
            .send()
            .await?;
        let state: Option<State> = output.item.map(serde_dynamo::from_item).transpose()?;
        Ok(state.filter(|state| state.deleted_at.is_none()))
    }

    /// Part of a transaction: an item of a chat that must not exist yet.
    pub(super) fn put_new(&self, tenant: &TenantId, chat: &ChatId, sk: &str, mut item: Item) -> TransactWriteItem {
        item.extend(chat_key(tenant, chat, sk));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }
}

pub(super) type Item = HashMap<String, AttributeValue>;

/// The two items that make a chat.
struct Head {
    profile: Profile,
    state: State,
}

impl Head {
    /// Takes them out of what a query returned; `None` when the chat does not exist (any more).
    fn take(items: &mut Vec<Item>) -> Result<Option<Self>, StoreError> {
        let mut take = |sk: &str| {
            let place =
                items.iter().position(|item| item.get("sk").and_then(|sk| sk.as_s().ok()).is_some_and(|s| s == sk));
            place.map(|place| items.remove(place))
        };
        let (Some(profile), Some(state)) = (take(PROFILE), take(STATE)) else {
            return Ok(None);
        };
        Ok(Some(Self { profile: serde_dynamo::from_item(profile)?, state: serde_dynamo::from_item(state)? }))
    }
}

fn assemble(chat_id: ChatId, profile: Profile, state: &State) -> Result<Chat, StoreError> {
    let metadata: Metadata =
        serde_json::from_str(&profile.metadata).map_err(|error| StoreError::Unreadable(error.into()))?;
    Ok(Chat {
        chat_id,
        user_id: profile.user_id,
        title: profile.title,
        metadata,
        config: profile.config,
        message_count: state.message_count,
        created_at: profile.created_at,
        updated_at: profile.updated_at,
        last_message_at: state.last_message_at,
    })
}

pub(super) fn chat_pk(tenant: &TenantId, chat: &ChatId) -> String {
    format!("{tenant}#{chat}")
}

pub(super) fn chat_key(tenant: &TenantId, chat: &ChatId, sk: &str) -> Item {
    HashMap::from([
        ("pk".to_owned(), AttributeValue::S(chat_pk(tenant, chat))),
        ("sk".to_owned(), AttributeValue::S(sk.to_owned())),
    ])
}

/// The key of a chat's state item.
pub(super) fn state_key(tenant: &TenantId, chat: &ChatId) -> Item {
    chat_key(tenant, chat, STATE)
}

fn owner(tenant: &TenantId, user: &UserId) -> String {
    format!("{tenant}#{user}")
}
