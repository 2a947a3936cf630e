//! Writing the end of a generation into its message, for the owner and for a takeover.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{
    conditional::ConditionalUpdate,
    error::StorageError,
    item::{self, number, text, to_value},
    keys::chat_key,
    records::{
        generation::Generation,
        lease::{NOT_RENEWED, OWNED, lease_names},
        message::MessageRecord,
    },
    table::Table,
    transaction::update_with_retry,
};
use crate::domain::{
    id::{ChatId, TenantId},
    message::{FinishReason, Status, Usage},
    time::Timestamp,
};

/// How long a draft is kept that did not replace its message, for clients that ask how it ended.
const DRAFT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Who ends a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    /// The owner, if it still has the lease.
    Owner,
    /// A takeover, if the lease was not renewed since it was read.
    Takeover,
}

/// How a generation ended.
pub(super) struct End<'a> {
    pub(super) content: &'a str,
    pub(super) status: Status,
    pub(super) finish_reason: FinishReason,
    pub(super) usage: Usage,
    pub(super) first_token_ms: Option<u64>,
    pub(super) completed_at: Timestamp,
}

/// The outcome of writing it.
pub(super) enum EndResult {
    Stored,
    /// The lease has changed; the message as it is, if it exists.
    Refused(Option<Box<MessageRecord>>),
}

/// Writes the end of a generation into its own item and removes the lease.
pub(super) async fn write_end(
    table: &Table,
    (tenant, chat): (&TenantId, &ChatId),
    generation: &Generation,
    by: EndedBy,
    end: &End<'_>,
) -> Result<EndResult, StorageError> {
    let mut expression = "SET content = :content, #status = :status, finish_reason = :reason, #usage = :usage, \
                          completed_at = :completed_at"
        .to_owned();
    let mut update = table
        .update(chat_key(tenant, chat, &generation.sk()))
        .set_expression_attribute_names(Some(lease_names()))
        .expression_attribute_names("#status", "status")
        .expression_attribute_names("#usage", "usage")
        .expression_attribute_values(":usage", to_value(end.usage)?)
        .expression_attribute_values(":token", text(&generation.lease.token))
        .expression_attribute_values(":content", text(end.content))
        .expression_attribute_values(":status", to_value(end.status)?)
        .expression_attribute_values(":reason", to_value(end.finish_reason)?)
        .expression_attribute_values(":completed_at", text(end.completed_at));
    update = match by {
        EndedBy::Owner => update.condition_expression(OWNED),
        EndedBy::Takeover => update
            .condition_expression(NOT_RENEWED)
            .expression_attribute_values(":seen_expiry", text(generation.lease.expires_at)),
    };
    if let Some(millis) = end.first_token_ms {
        expression += ", first_token_ms = :first_token_ms";
        update = update.expression_attribute_values(":first_token_ms", number(millis));
    }
    if generation.replaces.is_some() {
        expression += ", #ttl = :ttl";
        update = update
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", number(end.completed_at.plus(DRAFT_LIFETIME).as_seconds()));
    }
    expression += " REMOVE #lease";
    let update = update
        .update_expression(expression)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match ConditionalUpdate::of(update_with_retry(update).await)? {
        ConditionalUpdate::Updated(_) => Ok(EndResult::Stored),
        ConditionalUpdate::Refused(item) => {
            Ok(EndResult::Refused(item.map(item::from_item).transpose()?.map(Box::new)))
        }
    }
}
