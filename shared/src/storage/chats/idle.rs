//! Chats without activity, for retention.
//!
//! In the index `by_tenant`, a chat has the time of its last activity or an earlier one: a message does not update it,
//! since that would cost two more writes. So a chat whose indexed time is old enough is a candidate. If its state says
//! that it was active later, the indexed time is updated, and the chat is no candidate until that time is old enough.

use aws_sdk_dynamodb::types::AttributeValue;

use super::repository::ChatRepository;
use crate::{
    domain::{
        id::{ChatId, TenantId, UserId},
        time::Timestamp,
    },
    storage::{
        conditional::unless_refused,
        error::StorageError,
        item::{Item, text},
        keys::{chat_of, state_key},
        records::chat::StateRecord,
        table::IndexCursor,
        tenant_index::{FIRST_CHAT, INDEX, chat_sort},
        transaction::update_with_retry,
    },
};

/// How many candidates a page has.
const PAGE: i32 = 100;

/// A chat that may be idle, by its indexed time.
#[derive(Clone, Debug)]
pub struct IdleCandidate {
    /// The chat.
    pub chat_id: ChatId,
    indexed: AttributeValue,
}

/// A page of candidates.
#[derive(Debug)]
pub struct IdleCandidatePage {
    /// The candidates.
    pub chats: Vec<IdleCandidate>,
    /// Where the next page starts.
    pub next: Option<IndexCursor>,
}

/// Whether a chat is idle, by its state.
#[derive(Clone, Debug)]
pub enum IdleCheck {
    /// Nothing has happened in it since the given time.
    Idle(IdleChat),
    /// A message was appended later, or a generation runs; the time of the last activity.
    Active(Timestamp),
    /// The chat is deleted.
    Deleted,
}

/// A chat that was idle when it was checked.
#[derive(Clone, Debug)]
pub struct IdleChat {
    owner: UserId,
    active_at: Timestamp,
}

impl ChatRepository {
    /// Lists chats of a tenant that may have been idle since a time. The index follows the table a moment later.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list_idle_candidates(
        &self,
        tenant: &TenantId,
        since: Timestamp,
        after: Option<IndexCursor>,
    ) -> Result<IdleCandidatePage, StorageError> {
        let output = self
            .table
            .query_index(INDEX)
            .key_condition_expression("tenant_id = :tenant AND tenant_sort BETWEEN :first AND :last")
            .expression_attribute_values(":tenant", text(tenant))
            .expression_attribute_values(":first", text(FIRST_CHAT))
            .expression_attribute_values(":last", text(chat_sort(since)))
            .limit(PAGE)
            .set_exclusive_start_key(IndexCursor::into_start_key(after))
            .send()
            .await?;
        let candidate = |mut item: Item| {
            Some(IdleCandidate { chat_id: chat_of(tenant, &item)?, indexed: item.remove("tenant_sort")? })
        };
        let chats = output.items.unwrap_or_default().into_iter().filter_map(candidate).collect();
        Ok(IdleCandidatePage { chats, next: IndexCursor::after(output.last_evaluated_key) })
    }

    /// Checks whether a chat has been idle since a time: no message was appended, no generation runs.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn check_idle(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        since: Timestamp,
    ) -> Result<IdleCheck, StorageError> {
        Ok(self.states.get(tenant, chat).await?.map_or(IdleCheck::Deleted, |state| idle_check(state, since)))
    }

    /// Updates a candidate's indexed time to its last activity, unless another run has done so.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn update_indexed_activity(
        &self,
        tenant: &TenantId,
        candidate: &IdleCandidate,
        active_at: Timestamp,
    ) -> Result<(), StorageError> {
        let update = self
            .table
            .update(state_key(tenant, &candidate.chat_id))
            .update_expression("SET tenant_sort = :new")
            .condition_expression("tenant_sort = :indexed AND attribute_not_exists(deleted_at)")
            .expression_attribute_values(":indexed", candidate.indexed.clone())
            .expression_attribute_values(":new", text(chat_sort(active_at)));
        unless_refused(update_with_retry(update).await).map(drop)
    }

    /// Deletes a chat if it is still idle. Of a message and a deletion at the same time, one succeeds: either the message
    /// is stored and the chat stays, or the message finds no chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete_if_idle(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        idle: &IdleChat,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.mark_deleted(tenant, chat, &idle.owner, Some(idle.active_at), now).await
    }
}

fn idle_check(state: StateRecord, since: Timestamp) -> IdleCheck {
    match state.active_at {
        None => IdleCheck::Deleted,
        Some(active_at) if active_at <= since && state.generations.is_empty() => {
            IdleCheck::Idle(IdleChat { owner: state.user_id, active_at })
        }
        Some(active_at) => IdleCheck::Active(active_at),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn chat_is_idle_if_its_last_activity_is_not_after_the_given_time() {
        let now = Timestamp::from_millis(1_769_851_800_120);
        let state = || StateRecord::new(UserId::parse("u").expect("a user"), now);
        assert!(matches!(idle_check(state(), now), IdleCheck::Idle(idle) if idle.active_at == now));
        let earlier = now.minus(Duration::from_millis(1));
        assert!(matches!(idle_check(state(), earlier), IdleCheck::Active(active_at) if active_at == now));
        let deleted = StateRecord { active_at: None, ..state() };
        assert!(matches!(idle_check(deleted, now), IdleCheck::Deleted));
    }
}
