//! Messages.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `message#{seq, ten digits}` | a message |
//! | `{tenant_id}#{chat_id}` | `client_message#{client_message_id}` | `message_seq`: which message the client's id stands for, for a day |
//!
//! `seq` is dense, so an offset into a chat is a range of keys: a page at offset 99,900 costs what one at 0 does. An
//! assistant message exists from the start of its generation; see `generations`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::{
    chat_state::ChatStates,
    error::StorageError,
    item::{self, Item, text},
    keys::{FIRST_MESSAGE, chat_key, chat_pk, client_message_sk, message_sk},
    message_items::MessageItems,
    records::{
        chat::{ChatPosition, ChatRecord, StateRecord},
        generation::{Generation, RunningGeneration},
        message::{MessageRecord, NewMessage},
    },
    table::Table,
    transaction::{Transaction, TransactionPart, TransactionResult, next_attempt},
};
use crate::domain::{
    chat::ChatConfig,
    id::{ChatId, ClientMessageId, MessageId, TenantId},
    message::{Message, Status},
    pagination::{MAX_PAGE_BYTES, Order, PageRequest, response_bytes},
    time::Timestamp,
};

/// How long a client's id of a message is known.
const CLIENT_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The messages of chats.
#[derive(Clone, Debug)]
pub struct MessageRepository {
    table: Table,
    states: ChatStates,
    items: MessageItems,
}

/// A chat as an agent needs it, with its newest messages.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The chat's configuration.
    pub config: ChatConfig,
    /// The chat's position, to append to it.
    pub position: ChatPosition,
    /// The newest messages, oldest first. A running generation is listed without its text.
    pub recent: Vec<Message>,
}

/// A user's message and the generation that answers it, both stored.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The user's message.
    pub message: Message,
    /// The generation, which the caller owns.
    pub generation: Generation,
}

/// The outcome of an append.
#[derive(Clone, Debug)]
pub enum AppendResult {
    /// The message is stored.
    Stored(Box<Exchange>),
    /// The client's id stands for a message that was stored before.
    Duplicate {
        /// The message.
        message: Box<Message>,
        /// Its answer.
        answer: Option<MessageId>,
    },
    /// The chat does not exist.
    NoChat,
    /// Four generations run in the chat, which is the limit.
    Busy,
}

impl Conversation {
    /// The generations that run by the chat's state, and whose leases may have expired. Those that the newest messages
    /// show as streaming are owned.
    #[must_use]
    pub fn expired_generations(&self, now: Timestamp) -> Vec<MessageId> {
        let is_owned = |generation: &RunningGeneration| {
            let message = self.recent.iter().find(|message| message.message_id == generation.message_id);
            message.is_some_and(|message| message.status == Status::Streaming)
        };
        let running = self.position.running().iter();
        running
            .filter(|generation| generation.may_have_expired(now) && !is_owned(generation))
            .map(|generation| generation.message_id.clone())
            .collect()
    }

    /// The message that a client's id stands for, if it is among the newest messages.
    #[must_use]
    pub fn find_client_id(&self, client_id: &ClientMessageId, now: Timestamp) -> Option<&Message> {
        // After a day the id may stand for another message.
        let is_known = |message: &Message| message.created_at.plus(CLIENT_ID_LIFETIME) > now;
        let mut newest_first = self.recent.iter().rev().take_while(|message| is_known(message));
        newest_first.find(|message| message.client_message_id.as_ref() == Some(client_id))
    }

    /// The answer of a message, if it is among the newest messages.
    #[must_use]
    pub fn answer_of(&self, message: &Message) -> Option<&MessageId> {
        let mut newest_first = self.recent.iter().rev();
        let answer = newest_first.find(|other| other.in_reply_to.as_ref() == Some(&message.message_id));
        answer.map(|answer| &answer.message_id)
    }

    /// Removes a generation that has ended from those that run, and replaces its message, if the message is in the
    /// conversation.
    pub fn remove_generation(&mut self, message_id: &MessageId, ended: Option<&Message>) {
        self.position.remove(message_id);
        let stored = self.recent.iter_mut().find(|message| message.message_id == *message_id);
        if let (Some(stored), Some(ended)) = (stored, ended) {
            *stored = ended.clone();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ClientMessageRecord {
    message_seq: u32,
}

impl MessageRepository {
    /// The messages in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        let table = Table::new(client, table_name);
        let (states, items) = (ChatStates::new(&table), MessageItems::new(&table));
        Self { table, states, items }
    }

    /// Stores a user's message together with the empty assistant message that answers it; once for each client's id. The
    /// caller owns the new generation.
    ///
    /// The messages get the chat's next two numbers. If the chat has moved on from the `position` that the caller read,
    /// the append is attempted again from the current one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails, or after five attempts, each of which another append preceded.
    pub async fn append(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        mut position: ChatPosition,
        new: NewMessage<'_>,
        now: Timestamp,
    ) -> Result<AppendResult, StorageError> {
        let mut attempt = 0;
        loop {
            attempt = next_attempt(attempt).await?;
            let message = MessageRecord::of_user(position.message_count(), new, now);
            let reply = MessageRecord::reply_to(&message, new, now);
            let mut transaction = Transaction::new()
                .with(self.states.append(tenant, chat, &position, &reply, now)?)
                .with(self.put_message(tenant, chat, &message)?)
                .with(self.put_message(tenant, chat, &reply)?);
            if let Some(client_id) = new.client_id {
                transaction = transaction.with(self.put_client_id(tenant, chat, client_id, message.seq, now)?);
            }
            let item = match transaction.commit(self.table.client()).await? {
                TransactionResult::Committed => {
                    let generation = Generation::of(&reply).expect("a new reply has a lease");
                    let message = message.into_message(chat, now);
                    return Ok(AppendResult::Stored(Box::new(Exchange { message, generation })));
                }
                TransactionResult::Refused { item: None } => return Ok(AppendResult::NoChat),
                TransactionResult::Refused { item: Some(item) } => item,
            };
            if item.contains_key("message_seq") {
                return self.duplicate(tenant, chat, item::from_item(item)?, now).await;
            }
            let state: StateRecord = item::from_item(item)?;
            if state.is_deleted() {
                return Ok(AppendResult::NoChat);
            }
            let has_moved = state.message_count != position.message_count();
            position = ChatPosition::of(state);
            if position.is_busy() && !has_moved {
                return Ok(AppendResult::Busy);
            }
        }
    }

    async fn duplicate(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        ClientMessageRecord { message_seq: seq }: ClientMessageRecord,
        now: Timestamp,
    ) -> Result<AppendResult, StorageError> {
        let mut stored = self.list_range(tenant, chat, (seq, seq + 1), Order::Asc, now).await?.into_iter();
        let Some(message) = stored.next() else { return Ok(AppendResult::NoChat) };
        let answer = stored.next().map(|answer| answer.message_id);
        Ok(AppendResult::Duplicate { message: Box::new(message), answer })
    }

    fn put_message(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageRecord,
    ) -> Result<TransactionPart, StorageError> {
        let key = chat_key(tenant, chat, &message.sk());
        Ok(TransactionPart::create(&self.table, key, item::to_item(message)?))
    }

    /// Records that a client's id stands for this message, if it stands for no other.
    fn put_client_id(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        client_id: &ClientMessageId,
        seq: u32,
        now: Timestamp,
    ) -> Result<TransactionPart, StorageError> {
        let key = chat_key(tenant, chat, &client_message_sk(client_id));
        let item = item::to_item(ClientMessageRecord { message_seq: seq })?;
        Ok(TransactionPart::create_for(&self.table, key, item, CLIENT_ID_LIFETIME, now))
    }

    /// Reads a chat with its newest messages; `None` when the tenant has no such chat. One query reads the chat and the
    /// `first` messages. Each further one reads as many older messages as `more` returns for those read so far, newest
    /// first, until it returns 0.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn conversation(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        first: u16,
        now: Timestamp,
        more: impl Fn(&ChatConfig, &[Message]) -> u16,
    ) -> Result<Option<Conversation>, StorageError> {
        let query = |limit: i32| {
            self.table
                .query()
                .key_condition_expression("pk = :pk AND sk >= :first_message")
                .expression_attribute_values(":pk", text(chat_pk(tenant, chat)))
                .expression_attribute_values(":first_message", text(FIRST_MESSAGE))
                .scan_index_forward(false)
                .limit(limit)
        };
        let messages = |items: Vec<Item>| {
            items.into_iter().map(|item| {
                let message: MessageRecord = item::from_item(item)?;
                Ok::<_, StorageError>(message.into_message(chat, now))
            })
        };
        let mut output = query(i32::from(first) + 2).send().await?;
        let mut items = output.items.take().unwrap_or_default();
        let Some(record) = ChatRecord::take(&mut items)? else { return Ok(None) };
        let config = record.profile.config;
        let mut newest_first = messages(items).collect::<Result<Vec<_>, _>>()?;
        while let Some(start) = output.last_evaluated_key.take() {
            if newest_first.last().is_some_and(|oldest| oldest.seq == 0) {
                break;
            }
            let limit = more(&config, &newest_first);
            if limit == 0 {
                break;
            }
            output = query(limit.into()).set_exclusive_start_key(Some(start)).send().await?;
            for message in messages(output.items.take().unwrap_or_default()) {
                newest_first.push(message?);
            }
        }
        newest_first.reverse();
        Ok(Some(Conversation { config, position: ChatPosition::of(record.state), recent: newest_first }))
    }

    /// Lists a page of a chat's messages, with the number of all messages; `None` when the tenant has no such chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Option<(Vec<Message>, u32)>, StorageError> {
        let count = async || Ok(self.states.get(tenant, chat).await?.map(|state| state.message_count));
        let (messages, total) = match page.order {
            // A range from the start does not depend on the total, so both are read at once.
            Order::Asc => {
                let range = (page.offset, page.offset.saturating_add(page.limit - 1));
                let (messages, total) =
                    try_join(self.list_range(tenant, chat, range, page.order, now), count()).await?;
                let Some(total) = total else { return Ok(None) };
                (messages, total)
            }
            Order::Desc => {
                let Some(total) = count().await? else { return Ok(None) };
                let Some(range) = range_from_end(page, total) else { return Ok(Some((Vec::new(), total))) };
                (self.list_range(tenant, chat, range, page.order, now).await?, total)
            }
        };
        // Messages that were appended between the two reads count.
        let listed = messages.iter().map(|message| message.seq + 1).max().unwrap_or(0);
        Ok(Some((messages, total.max(listed))))
    }

    /// Lists messages from one number to another, both included, as far as a page may have bytes.
    async fn list_range(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        (first, last): (u32, u32),
        order: Order,
        now: Timestamp,
    ) -> Result<Vec<Message>, StorageError> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        let query = self
            .table
            .query()
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(chat_pk(tenant, chat)))
            .expression_attribute_values(":first", text(message_sk(first)))
            .expression_attribute_values(":last", text(message_sk(last)))
            .scan_index_forward(order == Order::Asc);
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            let record = item::from_item(item)?;
            let message = self.items.with_saved_text(tenant, chat, record).await?.into_message(chat, now);
            bytes += response_bytes(&message);
            if bytes > MAX_PAGE_BYTES && !messages.is_empty() {
                break;
            }
            messages.push(message);
        }
        Ok(messages)
    }
}

/// The first and the last number of a page that is counted from the end; `None` when the offset is past the start.
fn range_from_end(page: PageRequest, total: u32) -> Option<(u32, u32)> {
    let last = total.checked_sub(page.offset.saturating_add(1))?;
    Some(((last + 1).saturating_sub(page.limit), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chat whose user messages have these times, in hours, and client's ids.
    fn conversation(messages: &[(i64, &str)]) -> Conversation {
        let messages = messages.iter().zip(0..).map(|((hours, id), seq)| {
            let client_id = ClientMessageId::parse(id);
            let new = NewMessage { content: "x", client_id: client_id.as_ref(), ..NewMessage::default() };
            let sent_at = Timestamp::from_millis(hours * 60 * 60 * 1000);
            MessageRecord::of_user(seq, new, sent_at).into_message(&ChatId::generate(), sent_at)
        });
        Conversation { config: ChatConfig::default(), position: ChatPosition::default(), recent: messages.collect() }
    }

    #[test]
    fn client_id_stands_for_its_message_for_a_day() {
        let conversation = conversation(&[(0, "a"), (1, "b"), (25, "a"), (26, "c")]);
        let found = |id, hours: i64| {
            let id = ClientMessageId::parse(id).expect("an id");
            let now = Timestamp::from_millis(hours * 60 * 60 * 1000);
            conversation.find_client_id(&id, now).map(|message| message.seq)
        };
        assert_eq!((found("a", 26), found("b", 24), found("c", 26)), (Some(2), Some(1), Some(3)));
        assert_eq!((found("b", 25), found("d", 26)), (None, None));
    }

    #[test]
    fn descending_pages_are_ranges_counted_from_the_end() {
        let range = |offset, limit| range_from_end(PageRequest { offset, limit, order: Order::Desc }, 10);
        assert_eq!(range(0, 4), Some((6, 9)));
        assert_eq!(range(8, 4), Some((0, 1)));
        assert_eq!(range(9, 4), Some((0, 0)));
        assert_eq!(range(10, 4), None);
        assert_eq!(range(u32::MAX, 4), None);
    }
}
