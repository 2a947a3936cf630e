//! Messages.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `m#{seq, ten digits}` | one message |
//! | `{tenant_id}#{chat_id}` | `c#{client_message_id}` | which message a client's id stands for, for a day |
//!
//! `seq` is dense, so an offset into a chat is a range of keys: a page at offset 99,900 costs what one at 0 does.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::{
    Chats, StoreError,
    chats::{Item, Seen, State, StreamRecord, chat_key, chat_pk, state_key},
    transaction::{self, Written, next_attempt},
};
use crate::{
    id::{ChatId, ClientMessageId, MessageId, TenantId},
    message::{FinishReason, Message, Role, Status, Usage},
    page::{Order, PageRequest},
    time::Timestamp,
};

/// A page ends when its messages reach this size, since a Lambda function can answer 6 MB at most; `has_more` says that
/// the rest is still there.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_PAGE_BYTES: usize = 5 * 1024 * 1024;

/// The longest that a function may run, and so a stream: 15 minutes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const LONGEST_STREAM: Duration = Duration::from_secs(15 * 60);

/// How many answers may be streamed in a chat at once.
const STREAMS_AT_ONCE: usize = 4;

/// How long a client's id is known.
const CLIENT_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A message of the user and the place of the answer to it, both stored.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the user said.
    pub message: Message,
    /// The answer, still to come.
    pub reply: Reply,
}

/// What became of a message of the user.
#[derive(Clone, Debug)]
pub enum Appended {
    /// It is stored.
    Stored(Box<Exchange>),
    /// It was stored before, under the same client's id; this is the message.
    Before(Box<Message>),
    /// The chat does not exist (any more).
    NoChat,
    /// As many answers are being streamed as may be at once.
    Busy,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_message_id: Option<ClientMessageId>,
}

#[derive(Serialize, Deserialize)]
struct ClientIdRecord {
    known_seq: u32,
}

impl Chats {
    /// Stores a message of the user together with the place of its answer; once, if its client gave it an id.
    ///
    /// Both get the next two numbers of the chat, whoever else writes at the same time: what the caller has `seen` of
    /// the chat is only a first guess.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer, or others were faster five times.
    pub async fn append(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        mut seen: Seen,
        content: &str,
        client_id: Option<&ClientMessageId>,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let (message_id, reply_id) = (MessageId::generate(), MessageId::generate());
        let mut attempt = 0;
        loop {
            attempt = next_attempt(attempt).await?;
            let message = MessageItem::of_user(message_id.clone(), seen.message_count, content, client_id, now);
            let reply = MessageItem::reply_to(&message, reply_id.clone(), now);
            let mut items = vec![
                self.advance(tenant, chat, &seen, &reply, now)?,
                self.put_new(tenant, chat, &sk(message.seq), serde_dynamo::to_item(&message)?),
                self.put_new(tenant, chat, &sk(reply.seq), serde_dynamo::to_item(&reply)?),
            ];
            if let Some(client_id) = client_id {
                items.push(self.put_client_id(tenant, chat, client_id, message.seq, now)?);
            }
            let refusal = match transaction::write(&self.client, items).await? {
                Written::Committed => {
                    return Ok(Appended::Stored(Box::new(Exchange {
                        message: message.shown(chat),
                        reply: Reply { message_id: reply_id, seq: reply.seq, in_reply_to: message_id },
                    })));
                }
                Written::Refused { item: None } => return Ok(Appended::NoChat),
                Written::Refused { item: Some(item) } => item,
            };
            if refusal.contains_key("known_seq") {
                return self.known(tenant, chat, serde_dynamo::from_item(refusal)?).await;
            }
            let state: State = serde_dynamo::from_item(refusal)?;
            if state.deleted_at.is_some() {
                return Ok(Appended::NoChat);
            }
            let moved = state.message_count != seen.message_count;
            seen = Seen::of(state);
            let (_, live) = seen.lapsed(now);
            if live >= STREAMS_AT_ONCE && !moved {
                return Ok(Appended::Busy);
            }
        }
    }

    async fn known(&self, tenant: &TenantId, chat: &ChatId, record: ClientIdRecord) -> Result<Appended, StoreError> {
        let mut known = self.range(tenant, chat, record.known_seq, record.known_seq, Order::Asc).await?;
        Ok(known.pop().map_or(Appended::NoChat, |message| Appended::Before(Box::new(message))))
    }

    /// Part of a transaction: a client's id stands for this message, and for none before.
    fn put_client_id(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        client_id: &ClientMessageId,
        seq: u32,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let expires_at = now.plus(CLIENT_ID_LIFETIME);
        let mut item: Item = serde_dynamo::to_item(ClientIdRecord { known_seq: seq })?;
        item.extend(chat_key(tenant, chat, &format!("c#{client_id}")));
        item.extend([
            ("expires_at".to_owned(), AttributeValue::S(expires_at.to_string())),
            ("ttl".to_owned(), AttributeValue::N(expires_at.as_seconds().to_string())),
        ]);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            // Expired items are deleted up to two days late.
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table and item are set");
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Part of a transaction: the chat's counter goes on by two, if it is where the caller saw it, and if there is room
    /// for one more stream. Streams that have lapsed make room.
    fn advance(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        seen: &Seen,
        reply: &MessageItem,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let stream = StreamRecord {
            message_id: reply.message_id.clone(),
            seq: reply.seq,
            in_reply_to: reply.in_reply_to.clone().expect("a reply replies to something"),
            lapses_at: now.plus(LONGEST_STREAM),
        };
        let (lapsed, _) = seen.lapsed(now);
        let mut expression =
            "SET message_count = :next, last_message_at = :now, active_at = :now, streams.#reply = :stream".to_owned();
        let mut update = Update::builder();
        for (place, stream) in lapsed.iter().enumerate() {
            expression += if place == 0 { " REMOVE " } else { ", " };
            expression += &format!("streams.#lapsed{place}");
            update = update.expression_attribute_names(format!("#lapsed{place}"), stream.as_str());
        }
        let update = update
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression(expression)
            .condition_expression(
                "message_count = :seen AND attribute_not_exists(deleted_at) AND size(streams) < :streams",
            )
            .expression_attribute_names("#reply", reply.message_id.as_str())
            .expression_attribute_values(":seen", AttributeValue::N(seen.message_count.to_string()))
            .expression_attribute_values(":next", AttributeValue::N((seen.message_count + 2).to_string()))
            .expression_attribute_values(":streams", AttributeValue::N((STREAMS_AT_ONCE + lapsed.len()).to_string()))
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
        match transaction::update(update).await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an answer that has ended out of the chat's live streams. If the process dies before, the record lapses.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn forget_stream(&self, tenant: &TenantId, chat: &ChatId, reply: &Reply) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression("REMOVE streams.#reply")
            .condition_expression("attribute_exists(streams.#reply)")
            .expression_attribute_names("#reply", reply.message_id.as_str());
        match transaction::update(update).await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
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
                bytes += bytes_in_answer(&message.content);
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
    fn of_user(
        message_id: MessageId,
        seq: u32,
        content: &str,
        client_id: Option<&ClientMessageId>,
        now: Timestamp,
    ) -> Self {
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
            client_message_id: client_id.cloned(),
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
            client_message_id: None,
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
            client_message_id: self.client_message_id,
        }
    }
}

pub(super) fn from_item(chat: &ChatId, item: Item) -> Result<Message, StoreError> {
    let item: MessageItem = serde_dynamo::from_item(item)?;
    Ok(item.shown(chat))
}

/// What a text takes in a function's answer: it is JSON inside a JSON string, so it is escaped twice.
fn bytes_in_answer(text: &str) -> usize {
    let escaped = |character: char| match character {
        '"' | '\\' => 4,
        '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 3,
        '\u{0}'..='\u{1f}' => 7,
        other => other.len_utf8(),
    };
    text.chars().map(escaped).sum()
}

fn sk(seq: u32) -> String {
    format!("m#{seq:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_measured_as_it_is_written() {
        let text: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let once = serde_json::to_string(&text).expect("text is JSON");
        let twice = serde_json::to_string(&once).expect("text is JSON");
        // Twice two quotes around it, the inner ones escaped.
        assert_eq!(bytes_in_answer(&text), twice.len() - 6);
    }
}
