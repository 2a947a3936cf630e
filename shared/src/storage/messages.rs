//! Messages.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `m#{seq, ten digits}` | one message |
//! | `{tenant_id}#{chat_id}` | `c#{client_message_id}` | which message a client's id stands for, for a day |
//!
//! `seq` is dense, so an offset into a chat is a range of keys: a page at offset 99,900 costs what one at 0 does. An
//! answer is a message from the start; how it grows and ends is in `streams`.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::{
    Chats, StorageError,
    chats::{ChatPosition, LOOK_AT_ANSWERS, State, chat_key, chat_pk, state_key},
    generations::{Generation, LeaseRecord, RunningGeneration},
    item, maintenance_queue,
    transaction::{self, Written, next_attempt},
};
use crate::domain::{
    id::{ChatId, ClientMessageId, MessageId, TenantId},
    message::{FinishReason, Message, Role, Status, Usage},
    pagination::{MAX_PAGE_BYTES, Order, PageRequest, response_bytes},
    time::Timestamp,
};

/// How many answers may be streamed in a chat at once.
pub(super) const STREAMS_AT_ONCE: usize = 4;

/// How long a client's id is known.
const CLIENT_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A message of the user and the place of the answer to it, both stored.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the user said.
    pub message: Message,
    /// The answer, still to come.
    pub generation: Generation,
}

/// What became of a message of the user.
#[derive(Clone, Debug)]
pub enum AppendResult {
    /// It is stored.
    Stored(Box<Exchange>),
    /// It was stored before, under the same client's id; this is the message.
    Duplicate(Box<Message>),
    /// The chat does not exist (any more).
    NoChat,
    /// As many answers are being streamed as may be at once.
    Busy,
}

/// What a user says, on its way into a chat.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// What is said.
    pub content: &'a str,
    /// What the client calls the message.
    pub client_id: Option<&'a ClientMessageId>,
    /// The model that is to answer.
    pub model: &'a str,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MessageItem {
    pub(super) message_id: MessageId,
    pub(super) role: Role,
    pub(super) content: String,
    pub(super) status: Status,
    pub(super) seq: u32,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) in_reply_to: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finish_reason: Option<FinishReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_message_id: Option<ClientMessageId>,
    /// The model that answers, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// How long the first token took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_token_ms: Option<u64>,
    /// The answer that this one is to replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<MessageId>,
    /// Who streams the answer, for as long as it is streamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<LeaseRecord>,
}

#[derive(Serialize, Deserialize)]
struct ClientIdRecord {
    known_seq: u32,
}

impl Chats {
    /// Stores a message of the user together with the place of its answer; once, if its client gave it an id. Whoever
    /// calls this holds the answer's lease, and is to stream it.
    ///
    /// Both get the next two numbers of the chat, whoever else writes at the same time: what the caller has `seen` of
    /// the chat is only a first guess.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer, or others were faster five times.
    pub async fn append(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        mut seen: ChatPosition,
        new: NewMessage<'_>,
        now: Timestamp,
    ) -> Result<AppendResult, StorageError> {
        let mut attempt = 0;
        loop {
            attempt = next_attempt(attempt).await?;
            let message = MessageItem::of_user(seen.message_count(), new, now);
            let generation = MessageItem::answer_to(&message, new.model, now);
            let mut items = vec![
                self.advance(tenant, chat, &seen, &generation, now)?,
                self.put_new(tenant, chat, &sk(message.seq), item::to_item(&message)?),
                self.put_new(tenant, chat, &sk(generation.seq), item::to_item(&generation)?),
            ];
            if let Some(client_id) = new.client_id {
                items.push(self.put_client_id(tenant, chat, client_id, message.seq, now)?);
            }
            let refusal = match transaction::write(&self.client, items).await? {
                Written::Committed => {
                    let generation = Generation::of(&generation).expect("a new answer has all that it takes");
                    return Ok(AppendResult::Stored(Box::new(Exchange {
                        message: message.shown(chat, now),
                        generation,
                    })));
                }
                Written::Refused { item: None } => return Ok(AppendResult::NoChat),
                Written::Refused { item: Some(item) } => item,
            };
            if refusal.contains_key("known_seq") {
                return self.known(tenant, chat, item::from_item(refusal)?, now).await;
            }
            let state: State = item::from_item(refusal)?;
            if state.deleted_at.is_some() {
                return Ok(AppendResult::NoChat);
            }
            let moved = state.message_count != seen.message_count();
            seen = ChatPosition::of(state);
            if seen.is_busy() && !moved {
                return Ok(AppendResult::Busy);
            }
        }
    }

    async fn known(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        record: ClientIdRecord,
        now: Timestamp,
    ) -> Result<AppendResult, StorageError> {
        let mut known = self.range(tenant, chat, record.known_seq, record.known_seq, Order::Asc, now).await?;
        Ok(known.pop().map_or(AppendResult::NoChat, |message| AppendResult::Duplicate(Box::new(message))))
    }

    /// Part of a transaction: a client's id stands for this message, and for none before.
    fn put_client_id(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        client_id: &ClientMessageId,
        seq: u32,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StorageError> {
        let expires_at = now.plus(CLIENT_ID_LIFETIME);
        let mut item = item::to_item(ClientIdRecord { known_seq: seq })?;
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
    /// for one more stream. Maintenance is to look at the chat, unless it is already.
    fn advance(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        seen: &ChatPosition,
        generation: &MessageItem,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StorageError> {
        let mut update = Update::builder();
        for (name, value) in maintenance_queue::mark(&chat_pk(tenant, chat), now.plus(LOOK_AT_ANSWERS)) {
            update = update.expression_attribute_values(name, value);
        }
        let update = update
            .table_name(&self.table)
            .set_key(Some(state_key(tenant, chat)))
            .update_expression(format!(
                "SET message_count = :next, last_message_at = :now, active_at = :now, streams.#generation = :stream, {}",
                maintenance_queue::MARK_ONCE
            ))
            .condition_expression(
                "message_count = :seen AND attribute_not_exists(deleted_at) AND size(streams) < :streams",
            )
            .expression_attribute_names("#generation", generation.message_id.as_str())
            .expression_attribute_values(":seen", AttributeValue::N(seen.message_count().to_string()))
            .expression_attribute_values(":next", AttributeValue::N((seen.message_count() + 2).to_string()))
            .expression_attribute_values(":streams", AttributeValue::N(STREAMS_AT_ONCE.to_string()))
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":stream", serde_dynamo::to_attribute_value(RunningGeneration::of(generation))?)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are set");
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// A page of a chat's messages and how many there are in all; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Option<(Vec<Message>, u32)>, StorageError> {
        let limit = page.limit;
        let counted = async || Ok(self.state(tenant, chat).await?.map(|state| state.message_count));
        let (messages, total) = match page.order {
            // A range counted from the start needs no total, so both are read at once.
            Order::Asc => {
                let last = page.offset.saturating_add(limit - 1);
                let (messages, total) =
                    try_join(self.range(tenant, chat, page.offset, last, page.order, now), counted()).await?;
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
                (self.range(tenant, chat, first, last, page.order, now).await?, total)
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
        now: Timestamp,
    ) -> Result<Vec<Message>, StorageError> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .expression_attribute_values(":first", AttributeValue::S(sk(first)))
            .expression_attribute_values(":last", AttributeValue::S(sk(last)))
            .scan_index_forward(order == Order::Asc)
            .consistent_read(true);
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            let item = item::from_item(item)?;
            let message = self.with_saved(tenant, chat, item).await?.shown(chat, now);
            bytes += response_bytes(&message);
            if bytes > MAX_PAGE_BYTES && !messages.is_empty() {
                break;
            }
            messages.push(message);
        }
        Ok(messages)
    }
}

impl MessageItem {
    fn of_user(seq: u32, new: NewMessage<'_>, now: Timestamp) -> Self {
        Self {
            content: new.content.to_owned(),
            client_message_id: new.client_id.cloned(),
            ..Self::blank(Role::User, Status::Complete, seq, now)
        }
    }

    fn answer_to(message: &Self, model: &str, now: Timestamp) -> Self {
        Self {
            in_reply_to: Some(message.message_id.clone()),
            model: Some(model.to_owned()),
            lease: Some(LeaseRecord::new(now)),
            ..Self::blank(Role::Assistant, Status::Streaming, message.seq + 1, now)
        }
    }

    /// The answer that is to take the place of another one.
    pub(super) fn instead_of(old: &Message, model: &str, now: Timestamp) -> Self {
        Self {
            in_reply_to: old.in_reply_to.clone(),
            model: Some(model.to_owned()),
            replaces: Some(old.message_id.clone()),
            lease: Some(LeaseRecord::new(now)),
            ..Self::blank(Role::Assistant, Status::Streaming, old.seq, now)
        }
    }

    fn blank(role: Role, status: Status, seq: u32, now: Timestamp) -> Self {
        Self {
            message_id: MessageId::at(seq),
            role,
            content: String::new(),
            status,
            seq,
            created_at: now,
            completed_at: None,
            in_reply_to: None,
            finish_reason: None,
            usage: None,
            client_message_id: None,
            model: None,
            first_token_ms: None,
            replaces: None,
            lease: None,
        }
    }

    /// The message as the API shows it. An answer whose streamer is gone is shown as what the next one who writes to
    /// the chat will make of it.
    pub(super) fn shown(self, chat: &ChatId, now: Timestamp) -> Message {
        let lapsed = self.lease.filter(|lease| self.status == Status::Streaming && lease.lapses_at <= now);
        let (status, finish_reason, completed_at) = match lapsed {
            Some(lease) => (Status::Interrupted, Some(FinishReason::Error), Some(lease.lapses_at)),
            None => (self.status, self.finish_reason, self.completed_at),
        };
        Message {
            message_id: self.message_id,
            chat_id: chat.clone(),
            role: self.role,
            content: self.content,
            status,
            seq: self.seq,
            created_at: self.created_at,
            completed_at,
            in_reply_to: self.in_reply_to,
            finish_reason,
            usage: self.usage,
            client_message_id: self.client_message_id,
        }
    }
}

pub(super) fn sk(seq: u32) -> String {
    format!("m#{seq:010}")
}
