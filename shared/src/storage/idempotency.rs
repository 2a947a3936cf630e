//! Idempotency records: what a request with an `Idempotency-Key` returned, for a day.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#idempotency#{key}` | `~response` | `body_hash`, `chat_id`, `response` |
//!
//! The record is written in the transaction of the request itself. So there is no state in between: of two requests with
//! one key, one writes and the other gets its response.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use serde::{Deserialize, Serialize};

use super::{
    error::StorageError,
    item,
    keys::idempotency_key,
    table::Table,
    tenant_index::{IdempotencyRecordKey, idempotency_sort, index_attributes},
    transaction::TransactionPart,
};
use crate::domain::{
    api_key::sha256,
    chat::Chat,
    id::{ChatId, IdempotencyKey, TenantId},
    time::Timestamp,
};

/// How long a response is kept.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The idempotency records of tenants.
#[derive(Clone, Debug)]
pub struct IdempotencyRepository {
    table: Table,
}

/// A request with an `Idempotency-Key`: the key and the hash of the body.
#[derive(Clone, Debug)]
pub struct IdempotencyRequest {
    key: IdempotencyKey,
    body_hash: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct IdempotencyRecord {
    body_hash: String,
    pub(super) chat_id: ChatId,
    pub(super) response: String,
}

impl IdempotencyRequest {
    /// A request with this key and body.
    #[must_use]
    pub fn new(key: IdempotencyKey, body: &[u8]) -> Self {
        Self { key, body_hash: sha256(body) }
    }

    /// Whether a record is of a request with the same body.
    pub(super) fn matches(&self, record: &IdempotencyRecord) -> bool {
        self.body_hash == record.body_hash
    }
}

impl IdempotencyRepository {
    /// The records in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Deletes a record.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, IdempotencyRecordKey(key): IdempotencyRecordKey) -> Result<(), StorageError> {
        self.table.delete(key).send().await?;
        Ok(())
    }

    /// Records the response of a request that creates a chat, if the key is not in use.
    pub(super) fn put_record(
        &self,
        tenant: &TenantId,
        request: &IdempotencyRequest,
        chat: &Chat,
        now: Timestamp,
    ) -> Result<TransactionPart, StorageError> {
        let record = IdempotencyRecord {
            body_hash: request.body_hash.clone(),
            chat_id: chat.chat_id.clone(),
            response: serde_json::to_string(chat)?,
        };
        let mut item = item::to_item(record)?;
        item.extend(index_attributes(tenant, idempotency_sort(&chat.user_id, now)));
        let key = idempotency_key(tenant, &request.key);
        Ok(TransactionPart::create_for(&self.table, key, item, LIFETIME, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_with_the_same_body_matches_a_record() {
        let key = IdempotencyKey::parse("k").expect("a key");
        let (chat_id, response) = (ChatId::generate(), String::new());
        let record = IdempotencyRecord { body_hash: sha256(b"{}"), chat_id, response };
        assert!(IdempotencyRequest::new(key.clone(), b"{}").matches(&record));
        assert!(!IdempotencyRequest::new(key, b"{ }").matches(&record));
    }
}
