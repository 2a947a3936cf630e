//! Chunks: the saved text of a message while it is generated.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `chunk#{message_id}#{number, five digits}` | `text`, and its length in `text_bytes` |
//!
//! Chunks are appended, and joined into the message when the generation ends: an update is billed by the whole item. Those
//! that an owner leaves when it dies after the end are deleted by TTL.

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    batch::write_all,
    error::StorageError,
    item::{self, number, text, text_of},
    keys::{chat_key, chat_pk, chunk_prefix, chunk_sk},
    table::{Table, batch_delete},
    transaction::TransactionPart,
};
use crate::domain::{
    id::{ChatId, MessageId, TenantId},
    time::Timestamp,
};

/// How long a chunk is kept at most: far longer than a takeover may take, which needs it.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The chunks of messages.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    table: Table,
}

/// What is saved of a message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SavedText {
    pub(super) text: String,
    /// The number after the last chunk.
    pub(super) next_number: u32,
}

#[derive(Serialize, Deserialize)]
struct ChunkRecord {
    text: String,
    /// The length of the text in bytes of UTF-8. AWS does not say what `size` counts in a string.
    #[serde(default)]
    text_bytes: usize,
}

impl Chunks {
    pub(super) fn new(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Puts a chunk, in the place of an earlier one with this number, which is its `place`, unless that one is longer: a
    /// request that was delayed may arrive after its repetition with more text.
    pub(super) fn put(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        place: u32,
        text: &str,
        now: Timestamp,
    ) -> Result<TransactionPart, StorageError> {
        let mut item = item::to_item(ChunkRecord { text: text.to_owned(), text_bytes: text.len() })?;
        item.insert("ttl".to_owned(), number(now.plus(LIFETIME).as_seconds()));
        chat_key(tenant, chat, &chunk_sk(message, place)).add_to(&mut item);
        let put = self
            .table
            .transaction_put(item)
            .condition_expression("attribute_not_exists(text_bytes) OR text_bytes <= :bytes")
            .expression_attribute_values(":bytes", number(text.len()));
        Ok(put.into())
    }

    /// Reads and joins the chunks of a message.
    pub(super) async fn read(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
    ) -> Result<SavedText, StorageError> {
        let mut saved = SavedText::default();
        let query = self
            .table
            .query()
            .key_condition_expression("pk = :pk AND begins_with(sk, :chunks)")
            .expression_attribute_values(":pk", text(chat_pk(tenant, chat)))
            .expression_attribute_values(":chunks", text(chunk_prefix(message)));
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            let number = text_of(&item, "sk").and_then(|sk| sk.rsplit('#').next()?.parse::<u32>().ok());
            saved.next_number = number.map_or(saved.next_number, |number| number + 1);
            saved.text.push_str(&item::from_item::<ChunkRecord>(item)?.text);
        }
        Ok(saved)
    }

    /// Deletes chunks of a message by their numbers.
    pub(super) async fn delete(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        message: &MessageId,
        numbers: Range<u32>,
    ) -> Result<(), StorageError> {
        let deletes: Vec<_> =
            numbers.map(|number| batch_delete(chat_key(tenant, chat, &chunk_sk(message, number)))).collect();
        write_all(&self.table, &deletes).await
    }
}
