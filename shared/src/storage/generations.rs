//! Answers while they are being streamed.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `m#{seq}` | the answer itself, `streaming`, with its streamer's lease |
//! | `{tenant_id}#{chat_id}` | `d#{message_id}` | the same of an answer that is to replace another: a draft until it has ended well |
//! | `{tenant_id}#{chat_id}` | `a#{message_id}#{piece, five digits}` | what it has said so far, piece by piece |
//! | `{tenant_id}#{chat_id}` | `~state` | in `streams`, which answers run and what others want of them |
//!
//! A streamer holds a lease with a token that nobody else has. Whatever it saves is written on the condition that the
//! token is still there: if the lease was taken over, or the chat deleted, nothing is written and the streamer stops.
//! Pieces are appended and folded into the answer at its end, since an update is billed by the whole item.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    Chats, StorageError,
    chats::{State, chat_key, state_key},
    item::{self, Item},
    messages::{MessageItem, sk},
    transaction, unless_refused,
};
use crate::domain::{
    id::{ChatId, ConnectionId, MessageId, TenantId},
    message::{FinishReason, Status, Usage},
    time::Timestamp,
};

mod chunks;
mod lease;
mod regenerate;
mod stream_commands;
mod takeover;

pub use lease::{FinishResult, GenerationLease};
pub use regenerate::RegenerateResult;
pub use stream_commands::{CommandPoll, ResumeCommand};
pub use takeover::{FinishedGeneration, Takeover};

/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(15);

/// How long after its end a lease is still left alone: clocks differ between machines.
const CLOCKS: Duration = Duration::from_secs(5);

/// How long a draft is kept that came to nothing, for clients that ask how it ended.
const DRAFT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Who streams an answer, and until when they are believed to be alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseRecord {
    token: String,
    pub(super) lapses_at: Timestamp,
}

/// The place of an answer, and the right to write it.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The answer's id.
    pub message_id: MessageId,
    /// The answer's place in the chat.
    pub seq: u32,
    /// The message that is being answered.
    pub in_reply_to: MessageId,
    /// The answer whose place this one takes, once it has ended well.
    pub replaces: Option<MessageId>,
    lease: LeaseRecord,
}

/// A running answer, as the chat's state lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningGeneration {
    message_id: MessageId,
    seq: u32,
    in_reply_to: MessageId,
    begun_at: Timestamp,
    /// The socket that has had enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<ConnectionId>,
    /// The sockets that want to join, until the streamer has taken them on.
    resumes: BTreeMap<String, ResumeCommand>,
}

/// An answer that is being streamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActiveStream {
    /// The answer.
    pub message_id: MessageId,
    /// The answer's place in the chat.
    pub seq: u32,
    /// The message that is being answered.
    pub in_reply_to: MessageId,
}

/// How an answer ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All of its text.
    pub content: String,
    /// `complete`, `cancelled` or `failed`.
    pub status: Status,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
    /// How long its first token took, if there was one.
    pub first_token_ms: Option<u64>,
}

impl LeaseRecord {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { token: format!("{:016x}", rand::random::<u64>()), lapses_at: now.plus(LEASE) }
    }
}

impl Generation {
    /// The reply that an item is the place of; `None` when it is not being streamed.
    pub(super) fn of(item: &MessageItem) -> Option<Self> {
        Some(Self {
            message_id: item.message_id.clone(),
            seq: item.seq,
            in_reply_to: item.in_reply_to.clone()?,
            replaces: item.replaces.clone(),
            lease: item.lease.clone()?,
        })
    }

    fn sk(&self) -> String {
        place_sk(&self.message_id, self.seq, self.replaces.is_some())
    }
}

impl RunningGeneration {
    pub(super) fn of(answer: &MessageItem) -> Self {
        Self {
            message_id: answer.message_id.clone(),
            seq: answer.seq,
            in_reply_to: answer.in_reply_to.clone().expect("an answer answers something"),
            begun_at: answer.created_at,
            cancelled_by: None,
            resumes: BTreeMap::new(),
        }
    }

    pub(super) fn is_of(&self, answer: &MessageId) -> bool {
        self.message_id == *answer
    }

    pub(super) fn id(self) -> MessageId {
        self.message_id
    }

    /// The socket that has had enough.
    #[must_use]
    pub fn cancelled_by(&self) -> Option<&ConnectionId> {
        self.cancelled_by.as_ref()
    }

    /// The sockets that wait to be taken on.
    #[must_use]
    pub fn waiting(&self) -> Vec<ConnectionId> {
        self.resumes.values().map(|resume| resume.connection_id.clone()).collect()
    }

    /// Whether the answer was begun so long ago that its lease may have lapsed.
    #[must_use]
    pub fn may_have_expired(&self, now: Timestamp) -> bool {
        self.begun_at.plus(LEASE) <= now
    }
}

/// The condition that an answer is still its streamer's.
const HELD: &str = "#lease.#token = :token";

/// The condition that an answer's streamer has not been heard of since the lease was read.
const UNTOUCHED: &str = "#lease.#token = :token AND #lease.lapses_at = :seen";

const RENEW: &str = "SET #lease.lapses_at = :lapses_at";

fn lease_names() -> std::collections::HashMap<String, String> {
    [("#lease", "lease"), ("#token", "token")].map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into()
}

/// The end of an answer, on its way into its item.
struct End<'a> {
    content: &'a str,
    status: Status,
    finish_reason: FinishReason,
    usage: Option<Usage>,
    first_token_ms: Option<u64>,
    completed_at: Timestamp,
}

/// What became of it.
enum Ended {
    Stored,
    /// The lease is not what it was; the item as it is, if there is one.
    Refused(Option<Box<MessageItem>>),
}

impl Chats {
    /// Writes the end into the answer's own item, on a condition on its lease.
    async fn end(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        generation: &Generation,
        condition: &str,
        end: &End<'_>,
    ) -> Result<Ended, StorageError> {
        let mut expression = "SET content = :content, #status = :status, finish_reason = :reason, \
                              completed_at = :completed_at"
            .to_owned();
        let mut update = self.client.update_item();
        if condition == UNTOUCHED {
            update =
                update.expression_attribute_values(":seen", AttributeValue::S(generation.lease.lapses_at.to_string()));
        }
        if let Some(usage) = end.usage {
            expression += ", #usage = :usage";
            update = update
                .expression_attribute_names("#usage", "usage")
                .expression_attribute_values(":usage", serde_dynamo::to_attribute_value(usage)?);
        }
        if let Some(millis) = end.first_token_ms {
            expression += ", first_token_ms = :first_token_ms";
            update = update.expression_attribute_values(":first_token_ms", AttributeValue::N(millis.to_string()));
        }
        if generation.replaces.is_some() {
            expression += ", #ttl = :ttl";
            let ttl = end.completed_at.plus(DRAFT_LIFETIME).as_seconds();
            update = update
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":ttl", AttributeValue::N(ttl.to_string()));
        }
        expression += " REMOVE #lease";
        let mut names = lease_names();
        names.insert("#status".to_owned(), "status".to_owned());
        for (name, attribute) in names {
            update = update.expression_attribute_names(name, attribute);
        }
        let update = update
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, &generation.sk())))
            .update_expression(expression)
            .condition_expression(condition)
            .expression_attribute_values(":token", AttributeValue::S(generation.lease.token.clone()))
            .expression_attribute_values(":content", AttributeValue::S(end.content.to_owned()))
            .expression_attribute_values(":status", serde_dynamo::to_attribute_value(end.status)?)
            .expression_attribute_values(":reason", serde_dynamo::to_attribute_value(end.finish_reason)?)
            .expression_attribute_values(":completed_at", AttributeValue::S(end.completed_at.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match transaction::update(update).await {
            Ok(_) => Ok(Ended::Stored),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(Ended::Refused(refusal.item().cloned().map(item::from_item).transpose()?.map(Box::new)))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Takes an answer that has ended off the list of those that run. Of several who do, one gets the record that was
    /// there.
    async fn forget_stream(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
    ) -> Result<Option<RunningGeneration>, StorageError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression("REMOVE streams.#answer")
            .condition_expression("attribute_exists(streams.#answer)")
            .expression_attribute_names("#answer", answer.as_str())
            .return_values(ReturnValue::AllOld);
        let Some(output) = unless_refused(transaction::update(update).await)? else { return Ok(None) };
        let before: Option<State> = output.attributes.map(item::from_item).transpose()?;
        Ok(before.and_then(|mut state| state.streams.remove(answer.as_str())))
    }

    /// One item of a chat as a message.
    async fn item(&self, tenant: &TenantId, chat: &ChatId, sk: &str) -> Result<Option<MessageItem>, StorageError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, sk)))
            .consistent_read(true)
            .send()
            .await?;
        output.item.map(item::from_item).transpose()
    }
}

/// Where an answer is: in its place, or a draft beside it.
fn place_sk(answer: &MessageId, seq: u32, is_draft: bool) -> String {
    if is_draft { draft_sk(answer) } else { sk(seq) }
}

fn draft_sk(answer: &MessageId) -> String {
    format!("d#{answer}")
}
