//! A new answer in the place of an old one.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};

use super::{Chats, Generation, MessageItem, RunningGeneration, StorageError, draft_sk, item, state_key, transaction};
use crate::{
    domain::{
        id::{ChatId, TenantId},
        message::Message,
        time::Timestamp,
    },
    storage::{
        chats::{LOOK_AT_ANSWERS, chat_pk},
        maintenance_queue,
        transaction::Written,
    },
};

/// What became of the wish for a new answer.
#[derive(Debug)]
pub enum RegenerateResult {
    /// It is a draft now, and whoever asked holds its lease.
    Draft(Box<Generation>),
    /// An answer is being streamed in the chat, or has come meanwhile.
    Busy,
    /// The chat does not exist (any more).
    NoChat,
}

impl Chats {
    /// Begins a draft that is to replace the chat's last answer, if nothing is being streamed in the chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn regenerate(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        old: &Message,
        model: &str,
        now: Timestamp,
    ) -> Result<RegenerateResult, StorageError> {
        let draft = MessageItem::instead_of(old, model, now);
        let mut list = Update::builder();
        for (name, value) in maintenance_queue::mark(&chat_pk(tenant, chat), now.plus(LOOK_AT_ANSWERS)) {
            list = list.expression_attribute_values(name, value);
        }
        let list = list
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression(format!("SET streams.#draft = :stream, {}", maintenance_queue::MARK_ONCE))
            .condition_expression(
                "message_count = :count AND size(streams) = :none AND attribute_not_exists(deleted_at)",
            )
            .expression_attribute_names("#draft", draft.message_id.as_str())
            .expression_attribute_values(":stream", serde_dynamo::to_attribute_value(RunningGeneration::of(&draft))?)
            .expression_attribute_values(":count", AttributeValue::N((old.seq + 1).to_string()))
            .expression_attribute_values(":none", AttributeValue::N("0".to_owned()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are set");
        let items = vec![
            TransactWriteItem::builder().update(list).build(),
            self.put_new(tenant, chat, &draft_sk(&draft.message_id), item::to_item(&draft)?),
        ];
        Ok(match transaction::write(&self.client, items).await? {
            Written::Committed => {
                RegenerateResult::Draft(Box::new(Generation::of(&draft).expect("a new draft has all that it takes")))
            }
            Written::Refused { item: Some(state) } if !state.contains_key("deleted_at") => RegenerateResult::Busy,
            Written::Refused { .. } => RegenerateResult::NoChat,
        })
    }
}
