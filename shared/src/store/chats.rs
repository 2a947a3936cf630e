//! Chats.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `~profile` | what seldom changes: owner, title, metadata, config |
//! | `{tenant_id}#{chat_id}` | `~state` | what changes with every message: counter, last activity, live streams |
//! | `{tenant_id}#{chat_id}` | `m#{seq}` | a message, see `messages` |
//! | `{tenant_id}#once#{idempotency key}` | `~answer` | what a request that must run once was answered, for a day |
//!
//! An update is billed by the size of the whole item, hence two items. Both sort above the messages, so that one
//! descending query brings them and the newest messages. The index `by_owner` (`{tenant_id}#{user_id}`, `active_at`)
//! holds a user's chats by last activity; only the state item is in it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Put, TransactWriteItem},
};
use serde::{Deserialize, Serialize};

use super::{StoreError, messages, transaction};
use crate::{
    chat::{Chat, ChatConfig, Metadata, Title},
    id::{ChatId, MessageId, TenantId, UserId},
    time::Timestamp,
};

mod create;
mod delete;
mod list;
mod update;

pub use create::{Created, Once};

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
    /// How far the chat has come, to append to it.
    pub seen: Seen,
    /// The newest messages, oldest first.
    pub recent: Vec<crate::message::Message>,
}

/// How far a chat had come when it was read: a first guess for whoever appends to it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub(super) message_count: u32,
    streams: Vec<StreamRecord>,
}

impl Seen {
    pub(super) fn of(state: State) -> Self {
        Self { message_count: state.message_count, streams: state.streams.into_values().collect() }
    }

    /// The streams that have lapsed, and how many have not.
    pub(super) fn lapsed(&self, now: Timestamp) -> (Vec<MessageId>, usize) {
        let (lapsed, live): (Vec<_>, Vec<_>) = self.streams.iter().partition(|stream| stream.lapses_at <= now);
        (lapsed.into_iter().map(|stream| stream.message_id.clone()).collect(), live.len())
    }
}

/// An answer that is being streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// JSON text: DynamoDB has no room for all numbers, names and empty texts that JSON has.
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

#[derive(Clone, Debug, Serialize, Deserialize)]
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

    /// Whether the tenant still has a chat; by a read that costs half, and may be a moment late.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn exists(&self, tenant: &TenantId, chat: &ChatId) -> Result<bool, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, STATE)))
            .projection_expression("pk, deleted_at")
            .send()
            .await?;
        Ok(output.item.is_some_and(|item| !item.contains_key("deleted_at")))
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
            .key_condition_expression("pk = :pk AND sk >= :messages")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .expression_attribute_values(":messages", AttributeValue::S("m#".to_owned()))
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
            seen: Seen::of(head.state),
            recent: newest_first.collect::<Result<_, _>>()?,
        }))
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
    let metadata = Metadata::from_json(&profile.metadata)?;
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
