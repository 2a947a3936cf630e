//! What a running answer has said so far: its chunks.

use std::ops::Range;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};

use serde::{Deserialize, Serialize};

use super::{Chats, Item, MessageItem, StorageError, chat_key, item, place_sk};
use crate::{
    domain::{
        id::{ChatId, MessageId, TenantId},
        message::Status,
    },
    storage::{chats::chat_pk, transaction::next_attempt},
};

/// What one `BatchWriteItem` takes.
const BATCH: usize = 25;

#[derive(Serialize, Deserialize)]
struct Piece {
    said: String,
}

pub(super) fn chunk(
    tenant: &TenantId,
    chat: &ChatId,
    answer: &MessageId,
    number: u32,
    text: &str,
) -> Result<Item, StorageError> {
    let mut item = item::to_item(Piece { said: text.to_owned() })?;
    item.extend(chat_key(tenant, chat, &sk(answer, number)));
    Ok(item)
}

impl Chats {
    /// Fills in what a running answer has said so far.
    pub(in crate::storage) async fn with_saved(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        mut answer: MessageItem,
    ) -> Result<MessageItem, StorageError> {
        if answer.status != Status::Streaming {
            return Ok(answer);
        }
        let (said, _) = self.said(tenant, chat, &answer.message_id).await?;
        // Meanwhile all may have been folded, and the chunks been taken away under our eyes.
        if let Some(ended) =
            self.item(tenant, chat, &place_sk(&answer.message_id, answer.seq, answer.replaces.is_some())).await?
            && ended.message_id == answer.message_id
            && ended.status != Status::Streaming
        {
            return Ok(ended);
        }
        answer.content = said;
        Ok(answer)
    }

    /// What a running answer has said so far, and the number that comes after its last piece.
    pub(super) async fn said(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
    ) -> Result<(String, u32), StorageError> {
        let (mut said, mut chunks) = (String::new(), 0);
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :chunks)")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .expression_attribute_values(":chunks", AttributeValue::S(format!("a#{answer}#")))
            .consistent_read(true);
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            let number = item.get("sk").and_then(|sk| sk.as_s().ok()?.rsplit('#').next()?.parse::<u32>().ok());
            chunks = number.map_or(chunks, |number| number + 1);
            said.push_str(&item::from_item::<Piece>(item)?.said);
        }
        Ok((said, chunks))
    }

    /// Removes chunks of an answer by their numbers.
    pub(super) async fn remove_chunks(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        answer: &MessageId,
        numbers: Range<u32>,
    ) -> Result<(), StorageError> {
        let deletes: Vec<_> = numbers
            .map(|number| {
                let key = chat_key(tenant, chat, &sk(answer, number));
                let delete = DeleteRequest::builder().set_key(Some(key)).build().expect("the key is set");
                WriteRequest::builder().delete_request(delete).build()
            })
            .collect();
        for batch in deletes.chunks(BATCH) {
            let mut left = batch.to_vec();
            let mut attempt = 0;
            while !left.is_empty() {
                attempt = next_attempt(attempt).await?;
                let request = self.client.batch_write_item().request_items(&self.table, left);
                let unprocessed = request.send().await?.unprocessed_items.unwrap_or_default();
                left = unprocessed.into_values().flatten().collect();
            }
        }
        Ok(())
    }
}

fn sk(answer: &MessageId, number: u32) -> String {
    format!("a#{answer}#{number:05}")
}
