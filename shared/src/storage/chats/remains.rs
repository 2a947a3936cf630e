//! What is left to be done in a chat once those who began it are gone: its purge when it was deleted, and the end of
//! answers whose streamers died.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Chats, State, StorageError};
use crate::{
    domain::{
        id::{ChatId, MessageId, TenantId},
        time::Timestamp,
    },
    storage::{
        item::{self, Item},
        maintenance_queue::{MaintenanceQueue, QueueEntry},
    },
};

/// How long after an answer has begun its chat is looked at: as long as a function may run, so that one look is enough as
/// a rule, however many messages there are meanwhile.
pub(in crate::storage) const LOOK_AT_ANSWERS: Duration = Duration::from_secs(15 * 60);

/// How long after a chat was deleted it is looked at: longer than the function runs that deletes it.
pub(super) const LOOK_AT_DELETED: Duration = Duration::from_secs(10 * 60);

/// What is left to be done in a chat.
#[derive(Clone, Debug)]
pub enum Remains {
    /// Nothing: it is not there any more.
    Nothing,
    /// It is deleted and has to be purged.
    Deleted,
    /// These answers run, or did when their streamers died; perhaps none.
    Answers(Vec<MessageId>),
}

impl Chats {
    /// The chats that maintenance has to look at.
    #[must_use]
    pub fn agenda(&self) -> MaintenanceQueue<(TenantId, ChatId)> {
        MaintenanceQueue::new(&self.client, &self.table, chat_of_any)
    }

    /// What is left to be done in a chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn remains(&self, tenant: &TenantId, chat: &ChatId) -> Result<Remains, StorageError> {
        let state: Option<State> = self.state_item(tenant, chat).await?.map(item::from_item).transpose()?;
        Ok(match state {
            None => Remains::Nothing,
            Some(state) if state.deleted_at.is_some() => Remains::Deleted,
            Some(state) => Remains::Answers(state.streams.into_values().map(|stream| stream.id()).collect()),
        })
    }

    /// Takes a chat off the agenda if no answer runs in it; otherwise it is looked at again later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn settle(&self, due: &QueueEntry<(TenantId, ChatId)>, now: Timestamp) -> Result<(), StorageError> {
        const AT_REST: &str = "attribute_not_exists(deleted_at) AND size(streams) = :none";
        let agenda = self.agenda();
        if !agenda.strike(due, AT_REST, Some((":none", AttributeValue::N("0".to_owned())))).await? {
            agenda.postpone(due, now.plus(LOOK_AT_ANSWERS)).await?;
        }
        Ok(())
    }
}

fn chat_of_any(item: &Item) -> Option<(TenantId, ChatId)> {
    let (tenant, chat) = item.get("pk")?.as_s().ok()?.split_once('#')?;
    Some((TenantId::from_row(tenant)?, ChatId::parse(chat)?))
}
