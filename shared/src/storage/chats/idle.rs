//! Chats in which nothing has happened for long.
//!
//! A chat's place in the index says when it was last active, or an earlier time: messages do not move it, since that would
//! cost two writes each. So a chat whose place is old enough is looked at; if it was active after that, its place is moved
//! to where it belongs, and it is not looked at again before it may be old enough.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Chats, STATE, State, StorageError, chat_key, chat_of, places::chat_place, transaction};
use crate::{
    domain::{
        id::{ChatId, TenantId, UserId},
        time::Timestamp,
    },
    storage::{item, maintenance_queue::After, unless_refused},
};

const PAGE: i32 = 100;

/// A chat that may have been idle for long.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The chat.
    pub chat_id: ChatId,
    place: AttributeValue,
}

/// A part of those that may have been.
#[derive(Debug)]
pub struct Candidates {
    /// The chats.
    pub chats: Vec<Candidate>,
    /// Where to go on.
    pub next: Option<After>,
}

/// Whether nothing has happened in a chat for long.
#[derive(Clone, Debug)]
pub enum Idleness {
    /// Nothing has.
    Idle(Idle),
    /// Something has, or goes on right now.
    Active(Timestamp),
    /// The chat was deleted.
    Gone,
}

/// A chat in which nothing has happened for long, as it was seen.
#[derive(Clone, Debug)]
pub struct Idle {
    owner: UserId,
    active_at: Timestamp,
}

impl Chats {
    /// The chats of a tenant in which nothing may have happened since a point in time. The index follows the table a moment
    /// later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn maybe_idle(
        &self,
        tenant: &TenantId,
        since: Timestamp,
        after: Option<After>,
    ) -> Result<Candidates, StorageError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("by_tenant")
            .key_condition_expression("tenant = :tenant AND place BETWEEN :first AND :last")
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_string()))
            .expression_attribute_values(":first", AttributeValue::S("chat#".to_owned()))
            .expression_attribute_values(":last", AttributeValue::S(chat_place(since)))
            .limit(PAGE)
            .set_exclusive_start_key(after.map(|after| after.0))
            .send()
            .await?;
        let candidate =
            |mut item: super::Item| Some(Candidate { chat_id: chat_of(tenant, &item)?, place: item.remove("place")? });
        let chats = output.items.unwrap_or_default().into_iter().filter_map(candidate).collect();
        Ok(Candidates { chats, next: output.last_evaluated_key.map(After) })
    }

    /// Whether nothing has happened in a chat since a point in time: no message came, no answer runs.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn idleness(&self, tenant: &TenantId, chat: &ChatId, since: Timestamp) -> Result<Idleness, StorageError> {
        let Some(item) = self.state_item(tenant, chat).await? else { return Ok(Idleness::Gone) };
        // It goes from the item when the chat is deleted.
        let active_at = item.get("active_at").and_then(|time| time.as_s().ok()?.parse().ok());
        let Some(active_at) = active_at else { return Ok(Idleness::Gone) };
        let state: State = item::from_item(item)?;
        let is_idle = active_at <= since && state.streams.is_empty();
        Ok(if is_idle { Idleness::Idle(Idle { owner: state.user_id, active_at }) } else { Idleness::Active(active_at) })
    }

    /// Moves a chat to the place where it belongs, unless someone else has.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn move_to(
        &self,
        tenant: &TenantId,
        candidate: &Candidate,
        active_at: Timestamp,
    ) -> Result<(), StorageError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, &candidate.chat_id, STATE)))
            .update_expression("SET place = :there")
            .condition_expression("place = :here AND attribute_not_exists(deleted_at)")
            .expression_attribute_values(":here", candidate.place.clone())
            .expression_attribute_values(":there", AttributeValue::S(chat_place(active_at)));
        unless_refused(transaction::update(update).await).map(drop)
    }

    /// As [`delete`](Self::delete), if nothing has happened in the chat meanwhile. A message that comes at the same time is
    /// either stored, and then the chat stays, or finds no chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn delete_idle(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        idle: &Idle,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.mark_deleted(tenant, chat, &idle.owner, Some(idle.active_at), now).await
    }
}
