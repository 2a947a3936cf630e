//! Chats as they are stored: a profile and a state.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::generation::RunningGeneration;
use crate::{
    domain::{
        chat::{Chat, ChatConfig, Metadata, Title},
        id::{ChatId, MessageId, UserId},
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        item::{self, Item, text_of},
        keys::{PROFILE, STATE},
    },
};

/// How many generations may run in a chat at once.
pub(in crate::storage) const MAX_RUNNING: usize = 4;

/// What changes seldom.
#[derive(Serialize, Deserialize)]
pub(in crate::storage) struct ProfileRecord {
    pub(in crate::storage) user_id: UserId,
    pub(in crate::storage) title: Option<Title>,
    /// JSON text: DynamoDB cannot represent all numbers, names and empty strings of JSON.
    pub(in crate::storage) metadata: String,
    pub(in crate::storage) config: ChatConfig,
    pub(in crate::storage) created_at: Timestamp,
    pub(in crate::storage) updated_at: Timestamp,
}

/// What changes with every message.
#[derive(Serialize, Deserialize)]
pub(in crate::storage) struct StateRecord {
    pub(in crate::storage) user_id: UserId,
    pub(in crate::storage) message_count: u32,
    pub(in crate::storage) last_message_at: Option<Timestamp>,
    /// When the chat was created or the last message was appended; the sort key of `by_owner`. Absent once deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) active_at: Option<Timestamp>,
    /// The generations that run, by the id of their message.
    pub(in crate::storage) generations: BTreeMap<String, RunningGeneration>,
    /// [Usage](crate::storage::records::usage::UncountedUsage) of generations that have ended, until it is counted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(in crate::storage) uncounted: BTreeSet<String>,
    /// Set when the chat is deleted: from then on it does not exist, and its messages are being purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) deleted_at: Option<Timestamp>,
}

/// The two items of a chat.
pub(in crate::storage) struct ChatRecord {
    pub(in crate::storage) profile: ProfileRecord,
    pub(in crate::storage) state: StateRecord,
}

/// The state of a chat as a reader saw it, from which the next message is appended. It may be out of date.
#[derive(Clone, Debug, Default)]
pub struct ChatPosition {
    message_count: u32,
    running: Vec<RunningGeneration>,
}

impl StateRecord {
    /// The state of a new chat.
    pub(in crate::storage) fn new(user_id: UserId, now: Timestamp) -> Self {
        Self {
            user_id,
            message_count: 0,
            last_message_at: None,
            active_at: Some(now),
            generations: BTreeMap::new(),
            uncounted: BTreeSet::new(),
            deleted_at: None,
        }
    }

    pub(in crate::storage) fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }
}

impl ChatRecord {
    /// Takes the two items out of those of a chat; `None` when one is missing, because the chat is deleted.
    pub(in crate::storage) fn take(items: &mut Vec<Item>) -> Result<Option<Self>, StorageError> {
        let mut take = |sk: &str| {
            let index = items.iter().position(|item| text_of(item, "sk") == Some(sk));
            index.map(|index| items.remove(index))
        };
        let (Some(profile), Some(state)) = (take(PROFILE), take(STATE)) else { return Ok(None) };
        Ok(Some(Self { profile: item::from_item(profile)?, state: item::from_item(state)? }))
    }

    /// The chat as the API shows it.
    pub(in crate::storage) fn into_chat(self, chat_id: ChatId) -> Result<Chat, StorageError> {
        let Self { profile, state } = self;
        Ok(Chat {
            chat_id,
            user_id: profile.user_id,
            title: profile.title,
            metadata: Metadata::from_json(&profile.metadata)?,
            config: profile.config,
            message_count: state.message_count,
            created_at: profile.created_at,
            updated_at: profile.updated_at,
            last_message_at: state.last_message_at,
        })
    }
}

impl ChatPosition {
    pub(in crate::storage) fn of(state: StateRecord) -> Self {
        Self { message_count: state.message_count, running: state.generations.into_values().collect() }
    }

    /// How many messages the chat has.
    #[must_use]
    pub fn message_count(&self) -> u32 {
        self.message_count
    }

    /// How many generations run.
    #[must_use]
    pub fn running_count(&self) -> u32 {
        u32::try_from(self.running.len()).unwrap_or(u32::MAX)
    }

    /// Whether four generations run, which is the limit.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.running.len() >= MAX_RUNNING
    }

    /// The generations that run.
    pub(in crate::storage) fn running(&self) -> &[RunningGeneration] {
        &self.running
    }

    /// Removes a generation that has ended.
    pub(in crate::storage) fn remove(&mut self, message: &MessageId) {
        self.running.retain(|generation| generation.message_id != *message);
    }
}
