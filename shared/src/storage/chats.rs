//! Chats.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `~profile` | what seldom changes: owner, title, metadata, config |
//! | `{tenant_id}#{chat_id}` | `~state` | what changes with every message: counter, last activity, running answers |
//! | `{tenant_id}#{chat_id}` | `m#…`, `c#…` | messages and what their clients call them, see `messages` |
//! | `{tenant_id}#{chat_id}` | `d#…`, `a#…` | drafts and pieces of running answers, see `streams` |
//! | `{tenant_id}#once#{idempotency key}` | `~answer` | what a request that must run once was answered, for a day |
//!
//! An update is billed by the size of the whole item, hence two items. Both sort above the messages, and all else below
//! them, so that one descending query brings them and the newest messages. The index `by_owner`
//! (`{tenant_id}#{user_id}`, `active_at`) holds a user's chats by last activity; `by_tenant` all that a tenant has, see
//! `places`; `by_due` what maintenance has to look at, see `due`. Of a chat only the state item is in them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Put, TransactWriteItem},
};
use serde::{Deserialize, Serialize};

use super::{
    StorageError,
    generations::{ActiveStream, RunningGeneration},
    item::{self, Item},
    messages::{MessageItem, STREAMS_AT_ONCE},
    transaction,
};
use crate::domain::{
    chat::{Chat, ChatConfig, Metadata, Title},
    id::{ChatId, MessageId, TenantId, UserId},
    time::Timestamp,
};

mod create;
mod delete;
mod idle;
mod list;
mod places;
mod remains;
mod update;

pub use create::{CreateResult, IdempotencyRequest};
pub use idle::{Candidate, Candidates, Idle, Idleness};
pub use list::{Listed, UserChats};
pub use places::{Kind, Owned, OwnedPage, Record};
pub(super) use places::{placed, user_place};
pub(super) use remains::LOOK_AT_ANSWERS;
pub use remains::Remains;

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
    pub seen: ChatPosition,
    /// The newest messages, oldest first. What a running answer has said so far is not in it.
    pub recent: Vec<crate::domain::message::Message>,
}

/// How far a chat had come when it was read: a first guess for whoever appends to it.
#[derive(Clone, Debug, Default)]
pub struct ChatPosition {
    message_count: u32,
    streams: Vec<RunningGeneration>,
}

impl ChatPosition {
    pub(super) fn of(state: State) -> Self {
        Self { message_count: state.message_count, streams: state.streams.into_values().collect() }
    }

    /// How many messages the chat had.
    #[must_use]
    pub fn message_count(&self) -> u32 {
        self.message_count
    }

    /// Whether as many answers were being streamed as may be at once.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.streams.len() >= STREAMS_AT_ONCE
    }

    /// The answers that were being streamed.
    pub(super) fn streams(&self) -> &[RunningGeneration] {
        &self.streams
    }

    /// Leaves out an answer that has ended.
    pub(super) fn forget(&mut self, answer: &MessageId) {
        self.streams.retain(|stream| !stream.is_of(answer));
    }
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
    pub(super) streams: BTreeMap<String, RunningGeneration>,
    /// Set when the chat is deleted: from then on it does not exist, and its messages are being purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<Timestamp>,
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
    /// [`StorageError`] when the table does not answer.
    pub async fn get(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<Chat>, StorageError> {
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

    /// Who owns a chat; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn owner_of(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<UserId>, StorageError> {
        Ok(self.state(tenant, chat).await?.map(|state| state.user_id))
    }

    /// Who owns a chat, and what is being streamed in it; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn presence(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<Option<(UserId, Vec<ActiveStream>)>, StorageError> {
        let Some(state) = self.state(tenant, chat).await? else { return Ok(None) };
        let streams: Vec<RunningGeneration> = state.streams.into_values().collect();
        let live = self.live_streams(tenant, chat, &streams, now).await?;
        Ok(Some((state.user_id, live)))
    }

    /// Reads a chat with its newest `limit` messages, in one query; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn conversation(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        limit: u16,
        now: Timestamp,
    ) -> Result<Option<Conversation>, StorageError> {
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
        let recent = items.into_iter().rev().map(|item| {
            let item: MessageItem = item::from_item(item)?;
            Ok::<_, StorageError>(item.shown(chat, now))
        });
        Ok(Some(Conversation {
            config: head.profile.config,
            seen: ChatPosition::of(head.state),
            recent: recent.collect::<Result<_, _>>()?,
        }))
    }

    pub(super) async fn state(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<State>, StorageError> {
        let state: Option<State> = self.state_item(tenant, chat).await?.map(item::from_item).transpose()?;
        Ok(state.filter(|state| state.deleted_at.is_none()))
    }

    /// A chat's state as it is stored; of a chat that is being purged as well.
    async fn state_item(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<Item>, StorageError> {
        let key = Some(chat_key(tenant, chat, STATE));
        let read = self.client.get_item().table_name(&self.table).set_key(key).consistent_read(true);
        Ok(read.send().await?.item)
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

/// The two items that make a chat.
struct Head {
    profile: Profile,
    state: State,
}

impl Head {
    /// Takes them out of what a query returned; `None` when the chat does not exist (any more).
    fn take(items: &mut Vec<Item>) -> Result<Option<Self>, StorageError> {
        let mut take = |sk: &str| {
            let place =
                items.iter().position(|item| item.get("sk").and_then(|sk| sk.as_s().ok()).is_some_and(|s| s == sk));
            place.map(|place| items.remove(place))
        };
        let (Some(profile), Some(state)) = (take(PROFILE), take(STATE)) else {
            return Ok(None);
        };
        Ok(Some(Self { profile: item::from_item(profile)?, state: item::from_item(state)? }))
    }
}

fn assemble(chat_id: ChatId, profile: Profile, state: &State) -> Result<Chat, StorageError> {
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

/// The chat that an item belongs to, if it belongs to one of this tenant.
fn chat_of(tenant: &TenantId, item: &Item) -> Option<ChatId> {
    let pk = item.get("pk")?.as_s().ok()?;
    ChatId::parse(pk.strip_prefix(tenant.as_str())?.strip_prefix('#')?)
}

fn owner(tenant: &TenantId, user: &UserId) -> String {
    format!("{tenant}#{user}")
}
