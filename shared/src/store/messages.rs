//! Messages.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `m#{seq, ten digits}` | one message |
//!
//! `seq` is dense, so an offset into a chat is a range of keys: a page at offset 99,900 costs what one at 0 does.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::{
    Chats, StoreError,
    chats::{Item, State, StreamRecord, chat_key, chat_pk, state_key},
    transaction::{self, ATTEMPTS, Written, back_off},
};
use crate::{
    id::{ChatId, MessageId, TenantId},
    message::{FinishReason, Message, Role, Status, Usage},
    page::{Order, PageRequest},
    time::Timestamp,
};

/// A page ends when its messages reach this size, since a Lambda function can answer 6 MB at most; `has_more` says that
/// the rest is still there.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The longest that a function may run, and so a stream: 15 minutes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const LONGEST_STREAM: Duration = Duration::from_secs(15 * 60);

/// A message of the user and the place of the answer to it, both stored.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the user said.
    pub message: Message,
    /// The answer, still to come.
    pub reply: Reply,
}

/// An answer that is to come: stored as a `streaming` message without content.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer's id.
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
    /// `complete` or `failed`.
    pub status: Status,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
}

#[derive(Serialize, Deserialize)]
struct MessageItem {
    message_id: MessageId,
    role: Role,
    content: String,
    status: Status,
    seq: u32,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finish_reason: Option<FinishReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

impl Chats {
    /// Stores a message of the user together with the place of its answer; `None` when the chat does not exist.
    ///
    /// Both get the next two numbers of the chat, whoever else writes at the same time: `message_count` is where this
    /// caller saw the chat, and only a first guess.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer, or others were faster five times.
    pub async fn append(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        mut message_count: u32,
        content: &str,
        now: Timestamp,
    ) -> Result<Option<Exchange>, StoreError> {
        let (message_id, reply_id) = (MessageId::generate(), MessageId::generate());
        for attempt in 1..=ATTEMPTS {
            let message = MessageItem::of_user(message_id.clone(), message_count, content, now);
            let reply = MessageItem::reply_to(&message, reply_id.clone(), now);
            let items = vec![
                self.advance(tenant, chat, message_count, &reply, now)?,
                self.put_new(tenant, chat, &sk(message.seq), serde_dynamo::to_item(&message)?),
                self.put_new(tenant, chat, &sk(reply.seq), serde_dynamo::to_item(&reply)?),
            ];
            match transaction::write(&self.client, items).await? {
                Written::Committed => {
                    return Ok(Some(Exchange {
                        message: message.shown(chat),
                        reply: Reply { message_id: reply_id, seq: reply.seq, in_reply_to: message_id },
                    }));
                }
                Written::Refused { item: None } => return Ok(None),
                Written::Refused { item: Some(item) } => {
                    let state: State = serde_dynamo::from_item(item)?;
                    if state.deleted_at.is_some() {
                        return Ok(None);
                    }
                    message_count = state.message_count;
                    back_off(attempt).await;
                }
            }
        }
        Err(StoreError::Contended { attempts: ATTEMPTS })
    }

    /// Part of a transaction: the chat's counter goes on by two, if it is where the caller saw it.
    fn advance(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message_count: u32,
        reply: &MessageItem,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let stream = StreamRecord {
            message_id: reply.message_id.clone(),
            seq: reply.seq,
            in_reply_to: reply.in_reply_to.clone().expect("a reply replies to something"),
            lapses_at: now.plus(LONGEST_STREAM),
        };
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression(
                "SET message_count = :next, last_message_at = :now, active_at = :now, streams.#reply = :stream",
            )
            .condition_expression("message_count = :seen AND attribute_not_exists(deleted_at)")
            .expression_attribute_names("#reply", reply.message_id.as_str())
            .expression_attribute_values(":seen", AttributeValue::N(message_count.to_string()))
            .expression_attribute_values(":next", AttributeValue::N((message_count + 2).to_string()))
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":stream", serde_dynamo::to_attribute_value(stream)?)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are set");
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Stores how an answer ended. False when there is nothing to end: the chat was deleted meanwhile, or the answer
    /// has ended already.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn finish(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        reply: &Reply,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(tenant, chat, &sk(reply.seq))))
            .update_expression(
                "SET content = :content, #status = :status, finish_reason = :reason, #usage = :usage, completed_at = :now",
            )
            // A message that was purged must not come back, hence the condition.
            .condition_expression("message_id = :id AND #status = :streaming")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#usage", "usage")
            .expression_attribute_values(":id", AttributeValue::S(reply.message_id.to_string()))
            .expression_attribute_values(":streaming", serde_dynamo::to_attribute_value(Status::Streaming)?)
            .expression_attribute_values(":content", AttributeValue::S(outcome.content.clone()))
            .expression_attribute_values(":status", serde_dynamo::to_attribute_value(outcome.status)?)
            .expression_attribute_values(":reason", serde_dynamo::to_attribute_value(outcome.finish_reason)?)
            .expression_attribute_values(":usage", serde_dynamo::to_attribute_value(outcome.usage)?)
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()));
        match update.send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        // The answer is safe; if this is where the process dies, the record lapses.
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression("REMOVE streams.#reply")
            .condition_expression("attribute_exists(streams.#reply)")
            .expression_attribute_names("#reply", reply.message_id.as_str())
            .send()
            .await
            .map(|_| true)
            .or_else(|error| match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(true),
                _ => Err(error.into()),
            })
    }

    /// A page of a chat's messages and how many there are in all; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        page: PageRequest,
    ) -> Result<Option<(Vec<Message>, u32)>, StoreError> {
        let limit = page.limit;
        let counted = async || Ok(self.state(tenant, chat).await?.map(|state| state.message_count));
        let (messages, total) = match page.order {
            // A range counted from the start needs no total, so both are read at once.
            Order::Asc => {
                let last = page.offset.saturating_add(limit - 1);
                let (messages, total) =
                    try_join(self.range(tenant, chat, page.offset, last, page.order), counted()).await?;
                let Some(total) = total else { return Ok(None) };
                (messages, total)
            }
            Order::Desc => {
                let Some(total) = counted().await? else {
                    return Ok(None);
                };
                let Some(last) = total.checked_sub(page.offset.saturating_add(1)) else {
                    return Ok(Some((Vec::new(), total)));
                };
                let first = (last + 1).saturating_sub(limit);
                (self.range(tenant, chat, first, last, page.order).await?, total)
            }
        };
        // Messages that came between the two reads count.
        let seen = messages.iter().map(|message| message.seq + 1).max().unwrap_or(0);
        Ok(Some((messages, total.max(seen))))
    }

    async fn range(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        first: u32,
        last: u32,
        order: Order,
    ) -> Result<Vec<Message>, StoreError> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        let mut after = None;
        loop {
            let output = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
                .expression_attribute_values(":first", AttributeValue::S(sk(first)))
                .expression_attribute_values(":last", AttributeValue::S(sk(last)))
                .scan_index_forward(order == Order::Asc)
                .consistent_read(true)
                .set_exclusive_start_key(after)
                .send()
                .await?;
            for item in output.items.unwrap_or_default() {
                let message = from_item(chat, item)?;
                bytes += message.content.len();
                if bytes > MAX_PAGE_BYTES && !messages.is_empty() {
                    return Ok(messages);
                }
                messages.push(message);
            }
            after = output.last_evaluated_key;
            if after.is_none() {
                return Ok(messages);
            }
        }
    }
}

impl MessageItem {
    fn of_user(message_id: MessageId, seq: u32, content: &str, now: Timestamp) -> Self {
        Self {
            message_id,
            role: Role::User,
            content: content.to_owned(),
            status: Status::Complete,
            seq,
            created_at: now,
            completed_at: None,
            in_reply_to: None,
            finish_reason: None,
            usage: None,
        }
    }

    fn reply_to(message: &Self, message_id: MessageId, now: Timestamp) -> Self {
        Self {
            message_id,
            role: Role::Assistant,
            content: String::new(),
            status: Status::Streaming,
            seq: message.seq + 1,
            created_at: now,
            completed_at: None,
            in_reply_to: Some(message.message_id.clone()),
            finish_reason: None,
            usage: None,
        }
    }

    fn shown(self, chat: &ChatId) -> Message {
        Message {
            message_id: self.message_id,
            chat_id: chat.clone(),
            role: self.role,
            content: self.content,
            status: self.status,
            seq: self.seq,
            created_at: self.created_at,
            completed_at: self.completed_at,
            in_reply_to: self.in_reply_to,
            finish_reason: self.finish_reason,
            usage: self.usage,
        }
    }
}

pub(super) fn from_item(chat: &ChatId, item: Item) -> Result<Message, StoreError> {
    let item: MessageItem = serde_dynamo::from_item(item)?;
    Ok(item.shown(chat))
}

fn sk(seq: u32) -> String {
    format!("m#{seq:010}")
}
