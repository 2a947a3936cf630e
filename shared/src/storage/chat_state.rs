//! The state item of a chat, which the repositories of chats, messages and generations all write.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure, builders::UpdateBuilder};

use super::{
    conditional::unless_refused,
    error::StorageError,
    item::{self, number, text, texts, to_value},
    keys::{chat_pk, state_key},
    maintenance_queue::{QUEUE, QUEUE_ONCE, queue_values},
    records::{
        chat::{ChatPosition, MAX_RUNNING, StateRecord},
        generation::RunningGeneration,
        message::MessageRecord,
        usage::UncountedUsage,
    },
    table::Table,
    tenant_index::deleted_chat_sort,
    transaction::{TransactionPart, update_with_retry},
};
use crate::domain::{
    id::{ChatId, TenantId, UserId},
    time::Timestamp,
};

/// When maintenance checks a chat after a generation has started: as long as a function may run, so that one check is
/// enough as a rule, however many messages follow.
pub(super) const CHECK_GENERATIONS_AFTER: Duration = Duration::from_secs(15 * 60);

/// When maintenance checks a chat after its deletion: later than the function that deletes it has ended.
const CHECK_PURGE_AFTER: Duration = Duration::from_secs(10 * 60);

/// A generation that has ended and was removed from the state.
#[derive(Debug)]
pub struct RemovedGeneration {
    /// Its record, with the stream commands that were left.
    pub record: RunningGeneration,
    pub(super) user: UserId,
    /// Its element of the set `uncounted`.
    pub(super) uncounted: String,
}

/// The state items of chats.
#[derive(Clone, Debug)]
pub(super) struct ChatStates {
    table: Table,
}

impl ChatStates {
    pub(super) fn new(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Reads the state of a chat; `None` when the chat does not exist or is deleted.
    pub(super) async fn get(&self, tenant: &TenantId, chat: &ChatId) -> Result<Option<StateRecord>, StorageError> {
        Ok(self.get_deleted_too(tenant, chat).await?.filter(|state| !state.is_deleted()))
    }

    /// Reads the state of a chat, also of a deleted chat that is not purged yet.
    pub(super) async fn get_deleted_too(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
    ) -> Result<Option<StateRecord>, StorageError> {
        self.table.get_as(state_key(tenant, chat)).await
    }

    /// Advances the counter by two, for a user's message and the reply, if the counter has not moved since it was read
    /// and one more generation may run. Queues the chat for maintenance.
    pub(super) fn append(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        seen: &ChatPosition,
        reply: &MessageRecord,
        now: Timestamp,
    ) -> Result<TransactionPart, StorageError> {
        let count = seen.message_count();
        let update = self
            .start_generation(tenant, chat, reply, now)?
            .update_expression(format!(
                "SET message_count = :next, last_message_at = :now, active_at = :now, \
                 generations.#message = :generation, {QUEUE_ONCE}"
            ))
            .condition_expression(
                "message_count = :count AND attribute_not_exists(deleted_at) AND size(generations) < :max_running",
            )
            .expression_attribute_values(":count", number(count))
            .expression_attribute_values(":next", number(count + 2))
            .expression_attribute_values(":max_running", number(MAX_RUNNING))
            .expression_attribute_values(":now", text(now));
        Ok(update.into())
    }

    /// Lists a regeneration as running, if the old message is the chat's last and no generation runs. Queues the chat for
    /// maintenance.
    pub(super) fn start_regeneration(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        draft: &MessageRecord,
        now: Timestamp,
    ) -> Result<TransactionPart, StorageError> {
        let update = self
            .start_generation(tenant, chat, draft, now)?
            .update_expression(format!("SET generations.#message = :generation, {QUEUE_ONCE}"))
            .condition_expression(
                "message_count = :count AND size(generations) = :none AND attribute_not_exists(deleted_at)",
            )
            .expression_attribute_values(":count", number(draft.seq + 1))
            .expression_attribute_values(":none", number(0));
        Ok(update.into())
    }

    fn start_generation(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageRecord,
        now: Timestamp,
    ) -> Result<UpdateBuilder, StorageError> {
        let queue = queue_values(&chat_pk(tenant, chat), now.plus(CHECK_GENERATIONS_AFTER));
        Ok(self
            .table
            .transaction_update(state_key(tenant, chat))
            .set_expression_attribute_values(Some(queue))
            .expression_attribute_names("#message", message.message_id.as_str())
            .expression_attribute_values(":generation", to_value(RunningGeneration::of(message))?)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld))
    }

    /// Marks a chat as deleted, and queues it for maintenance in case that its purge breaks off. With `idle_since`, only
    /// if nothing has happened in the chat since that time.
    pub(super) fn mark_deleted(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        owner: &UserId,
        idle_since: Option<Timestamp>,
        now: Timestamp,
    ) -> TransactionPart {
        let mut update = self
            .table
            .transaction_update(state_key(tenant, chat))
            // `owner` is a reserved word in expressions.
            .update_expression(format!(
                "SET deleted_at = :now, tenant_sort = :deleted, {QUEUE} REMOVE #owner, active_at"
            ))
            .set_expression_attribute_values(Some(queue_values(&chat_pk(tenant, chat), now.plus(CHECK_PURGE_AFTER))))
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":now", text(now))
            .expression_attribute_values(":deleted", text(deleted_chat_sort(owner, now)));
        let mut condition = "attribute_exists(pk) AND attribute_not_exists(deleted_at)".to_owned();
        if let Some(idle_since) = idle_since {
            condition += " AND active_at = :idle_since AND size(generations) = :none";
            update = update
                .expression_attribute_values(":idle_since", text(idle_since))
                .expression_attribute_values(":none", number(0));
        }
        update.condition_expression(condition).into()
    }

    /// Removes a generation from those that run, and leaves its usage to be counted. Of several callers, one gets the
    /// record.
    pub(super) async fn end_generation(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        usage: &UncountedUsage,
    ) -> Result<Option<RemovedGeneration>, StorageError> {
        let (message, uncounted) = (&usage.message_id, usage.to_element()?);
        let update = self
            .table
            .update(state_key(tenant, chat))
            .update_expression("REMOVE generations.#message ADD uncounted :elements")
            .condition_expression("attribute_exists(generations.#message)")
            .expression_attribute_names("#message", message.as_str())
            .expression_attribute_values(":elements", texts([uncounted.as_str()]))
            .return_values(ReturnValue::AllOld);
        let Some(output) = unless_refused(update_with_retry(update).await)? else { return Ok(None) };
        let before: Option<StateRecord> = output.attributes.map(item::from_item).transpose()?;
        Ok(before.and_then(|mut state| {
            let record = state.generations.remove(message.as_str())?;
            Some(RemovedGeneration { record, user: state.user_id, uncounted })
        }))
    }

    /// Removes the state itself, as the last step of a purge. Returns false while a generation runs or its usage is not
    /// counted.
    pub(super) async fn delete(&self, tenant: &TenantId, chat: &ChatId) -> Result<bool, StorageError> {
        let delete = self
            .table
            .delete(state_key(tenant, chat))
            .condition_expression(
                "attribute_not_exists(pk) OR (size(generations) = :none AND attribute_not_exists(uncounted))",
            )
            .expression_attribute_values(":none", number(0));
        Ok(unless_refused(delete.send().await)?.is_some())
    }
}
