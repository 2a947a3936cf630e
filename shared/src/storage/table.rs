//! The private table client: request builders with the table's name, and keys.
//!
//! Repositories add expressions to these builders; nothing outside `storage` does. Reads by key are consistent, reads of
//! an index cannot be.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        batch_write_item::BatchWriteItemError, delete_item::builders::DeleteItemFluentBuilder,
        get_item::builders::GetItemFluentBuilder, put_item::builders::PutItemFluentBuilder,
        query::builders::QueryFluentBuilder, scan::builders::ScanFluentBuilder,
        update_item::builders::UpdateItemFluentBuilder,
    },
    types::{
        Delete, DeleteRequest, KeysAndAttributes, Put, PutRequest, Update, WriteRequest,
        builders::{DeleteBuilder, PutBuilder, UpdateBuilder},
    },
};
use serde::de::DeserializeOwned;

use super::{
    error::StorageError,
    item::{self, Item, text},
};

/// What one `BatchWriteItem` takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
pub(super) const WRITE_BATCH: usize = 25;

/// What one `BatchGetItem` takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
pub(super) const READ_BATCH: usize = 100;

/// One table and the client that reaches it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    client: Client,
    name: Arc<str>,
}

/// The key of an item.
#[derive(Clone, Debug)]
pub(super) struct Key(Item);

/// A position in an index, from which the next page is read.
#[derive(Clone, Debug)]
pub struct IndexCursor(Item);

impl Key {
    /// A key of the chats or the connections table.
    pub(super) fn new(pk: impl ToString, sk: impl ToString) -> Self {
        Self(Item::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))]))
    }

    /// A key of the tenants table, which has no sort key.
    pub(super) fn partition(pk: impl ToString) -> Self {
        Self(Item::from([("pk".to_owned(), text(pk))]))
    }

    /// The key of an item that was read.
    pub(super) fn of(item: &Item) -> Self {
        let is_key = |name: &&String| *name == "pk" || *name == "sk";
        Self(item.iter().filter(|(name, _)| is_key(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Adds the key to the attributes of an item.
    pub(super) fn add_to(self, item: &mut Item) {
        item.extend(self.0);
    }
}

impl IndexCursor {
    /// The cursor in the output of a query; `None` after the last page.
    pub(super) fn after(last_evaluated_key: Option<Item>) -> Option<Self> {
        last_evaluated_key.map(Self)
    }

    /// The key to start the next query after.
    pub(super) fn into_start_key(cursor: Option<Self>) -> Option<Item> {
        cursor.map(|Self(key)| key)
    }
}

impl Table {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self { client, name: name.into() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A consistent read by key.
    pub(super) fn get(&self, key: Key) -> GetItemFluentBuilder {
        self.client.get_item().table_name(&*self.name).set_key(Some(key.0)).consistent_read(true)
    }

    /// Reads one item consistently; `None` when it does not exist.
    pub(super) async fn get_as<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, StorageError> {
        self.get(key).send().await?.item.map(item::from_item).transpose()
    }

    /// A consistent query of the table.
    pub(super) fn query(&self) -> QueryFluentBuilder {
        self.client.query().table_name(&*self.name).consistent_read(true)
    }

    /// A query of an index, which follows the table a moment later.
    pub(super) fn query_index(&self, index: &str) -> QueryFluentBuilder {
        self.client.query().table_name(&*self.name).index_name(index)
    }

    /// A scan of the whole table, for operators only.
    pub(super) fn scan(&self) -> ScanFluentBuilder {
        self.client.scan().table_name(&*self.name)
    }

    pub(super) fn put(&self, item: Item) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&*self.name).set_item(Some(item))
    }

    pub(super) fn update(&self, key: Key) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&*self.name).set_key(Some(key.0))
    }

    pub(super) fn delete(&self, key: Key) -> DeleteItemFluentBuilder {
        self.client.delete_item().table_name(&*self.name).set_key(Some(key.0))
    }

    /// A put for a transaction.
    pub(super) fn transaction_put(&self, item: Item) -> PutBuilder {
        Put::builder().table_name(&*self.name).set_item(Some(item))
    }

    /// An update for a transaction.
    pub(super) fn transaction_update(&self, key: Key) -> UpdateBuilder {
        Update::builder().table_name(&*self.name).set_key(Some(key.0))
    }

    /// A delete for a transaction.
    pub(super) fn transaction_delete(&self, key: Key) -> DeleteBuilder {
        Delete::builder().table_name(&*self.name).set_key(Some(key.0))
    }

    /// Sends one `BatchWriteItem` and returns the requests that DynamoDB left out, because the table lacks capacity.
    pub(super) async fn write_batch(
        &self,
        requests: Vec<WriteRequest>,
    ) -> Result<Vec<WriteRequest>, SdkError<BatchWriteItemError>> {
        let output = self.client.batch_write_item().request_items(&*self.name, requests).send().await?;
        Ok(output.unprocessed_items.unwrap_or_default().into_values().flatten().collect())
    }

    /// Sends one `BatchGetItem`, consistently. Returns the items found and the keys that DynamoDB left out.
    pub(super) async fn read_batch(&self, keys: Vec<Key>) -> Result<(Vec<Item>, Vec<Key>), StorageError> {
        let keys = keys.into_iter().map(|key| key.0).collect();
        let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let request = HashMap::from([(self.name.to_string(), request.expect("the keys are set"))]);
        let output = self.client.batch_get_item().set_request_items(Some(request)).send().await?;
        let items = output.responses.unwrap_or_default().into_values().flatten().collect();
        let left =
            output.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).map(Key).collect();
        Ok((items, left))
    }
}

/// A put for [`Table::write_batch`].
pub(super) fn batch_put(item: Item) -> WriteRequest {
    let put = PutRequest::builder().set_item(Some(item)).build().expect("the item is set");
    WriteRequest::builder().put_request(put).build()
}

/// A delete for [`Table::write_batch`].
pub(super) fn batch_delete(key: Key) -> WriteRequest {
    let delete = DeleteRequest::builder().set_key(Some(key.0)).build().expect("the key is set");
    WriteRequest::builder().delete_request(delete).build()
}
