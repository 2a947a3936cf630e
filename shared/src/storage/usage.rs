//! Usage: what the generations of a tenant took, by day.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#usage` | `day#{day}#{part}#{model}` | a part of the counts of a model on a day; they add up |
//! | `{tenant_id}#usage` | `user#{day}#{part}#{user_id}` | a part of the counts of a user on a day |
//!
//! A generation is counted exactly once, wherever a process dies. When it ends, one write moves its record in the chat's
//! state from `generations` to the set `uncounted`; one transaction then removes it there and adds it to both items.
//! Maintenance does the same for what it finds in the set. Counting happens after the end is posted, so no client waits
//! for it.

use aws_sdk_dynamodb::{Client, types::builders::UpdateBuilder};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    batch::write_all,
    error::StorageError,
    item::{self, SET_VERSION, number, text, version},
    keys::state_key,
    records::usage::UncountedUsage,
    table::{Key, Table, batch_delete},
    transaction::Transaction,
};
use crate::domain::{
    day::Day,
    id::{ChatId, TenantId, UserId},
    usage::UsageCounts,
};

/// How long usage is kept: a year, and a month to bill it.
pub const RETENTION_DAYS: u32 = 400;

/// In how many parts the counts of a model or a user on a day are kept, since transactions on one item conflict. Ten
/// generations of a tenant may end in a second.
const PARTS: u8 = 8;

/// The usage of tenants.
#[derive(Clone, Debug)]
pub struct UsageRepository {
    table: Table,
}

/// The counts of a model on a day. Of one day and model there may be several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ModelUsage {
    /// The day.
    pub day: Day,
    /// The model's name.
    pub model: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: UsageCounts,
}

/// The counts of a user on a day. Of one day and user there may be several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct UserUsage {
    /// The user.
    pub user_id: UserId,
    /// The counts.
    #[serde(flatten)]
    pub counts: UsageCounts,
}

impl UsageRepository {
    /// The usage in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Counts the usage in an element of the set `uncounted`, unless it is counted.
    pub(super) async fn count(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        user: &UserId,
        element: &str,
    ) -> Result<(), StorageError> {
        let UncountedUsage { day, model, answers_message, usage, .. } = UncountedUsage::parse(element)?;
        let remove = self
            .table
            .transaction_update(state_key(tenant, chat))
            .update_expression("DELETE uncounted :elements")
            .condition_expression("contains(uncounted, :element)")
            .expression_attribute_values(":elements", item::texts([element]))
            .expression_attribute_values(":element", text(element));
        let counts = UsageCounts::of_generation(usage, answers_message);
        let part = rand::random::<u8>() % PARTS;
        let of_model = self
            .add(Key::new(pk(tenant), format!("{}{part}#{model}", day_prefix(day))), day, counts, "model")
            .expression_attribute_values(":named", text(model));
        let of_user = self
            .add(Key::new(pk(tenant), user_sk(day, part, user)), day, counts, "user_id")
            .expression_attribute_values(":named", text(user));
        let transaction = Transaction::new().with(remove.into()).with(of_model.into()).with(of_user.into());
        // A refusal says that it is counted.
        transaction.commit(self.table.client()).await.map(drop)
    }

    /// Adds counts to an item whose attribute `name` is `:named`.
    fn add(&self, key: Key, day: Day, counts: UsageCounts, name: &str) -> UpdateBuilder {
        let UsageCounts { messages, generations, estimated_generations, input_tokens, output_tokens } = counts;
        self.table
            .transaction_update(key)
            .update_expression(format!(
                "{SET_VERSION}, #day = :day, #name = :named, #ttl = :ttl ADD messages :messages, \
                 generations :generations, estimated_generations :estimated, input_tokens :input, output_tokens :output"
            ))
            .expression_attribute_names("#day", "day")
            .expression_attribute_names("#name", name)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":day", text(day))
            .expression_attribute_values(":ttl", number(day.plus(RETENTION_DAYS).end().as_seconds()))
            .expression_attribute_values(":messages", number(messages))
            .expression_attribute_values(":generations", number(generations))
            .expression_attribute_values(":estimated", number(estimated_generations))
            .expression_attribute_values(":input", number(input_tokens))
            .expression_attribute_values(":output", number(output_tokens))
    }

    /// Lists the usage of days, both included, by day and model; `None` when there are more than `limit` items. The read
    /// is eventually consistent.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn by_model(
        &self,
        tenant: &TenantId,
        from: Day,
        to: Day,
        limit: usize,
    ) -> Result<Option<Vec<ModelUsage>>, StorageError> {
        self.list(tenant, (day_prefix(from), format!("day#{to}~")), limit).await
    }

    /// Lists the usage of days, both included, by day and user; as [`by_model`](Self::by_model).
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn by_user(
        &self,
        tenant: &TenantId,
        from: Day,
        to: Day,
        limit: usize,
    ) -> Result<Option<Vec<UserUsage>>, StorageError> {
        self.list(tenant, (format!("user#{from}#"), format!("user#{to}~")), limit).await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        (first, last): (String, String),
        limit: usize,
    ) -> Result<Option<Vec<T>>, StorageError> {
        let query = self
            .table
            .query()
            .consistent_read(false)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
            .expression_attribute_values(":pk", text(pk(tenant)))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last));
        let mut items = query.into_paginator().items().send();
        let mut usage = Vec::new();
        while let Some(item) = items.try_next().await? {
            if usage.len() == limit {
                return Ok(None);
            }
            usage.push(item::from_item(item)?);
        }
        Ok(Some(usage))
    }

    /// Deletes the usage of a user who is erased. The counts by model remain: they name no user.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete_user(&self, tenant: &TenantId, user: &UserId, today: Day) -> Result<(), StorageError> {
        let days = (0..=RETENTION_DAYS).map(|days| today.minus(days));
        let keys = days.flat_map(|day| (0..PARTS).map(move |part| user_sk(day, part, user)));
        let deletes: Vec<_> = keys.map(|sk| batch_delete(Key::new(pk(tenant), sk))).collect();
        write_all(&self.table, &deletes).await
    }

    /// Deletes all usage of a tenant that is erased.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId) -> Result<(), StorageError> {
        let query = self
            .table
            .query()
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(pk(tenant)))
            .projection_expression("pk, sk");
        let mut items = query.into_paginator().items().send();
        let mut deletes = Vec::new();
        while let Some(item) = items.try_next().await? {
            deletes.push(batch_delete(Key::of(&item)));
        }
        write_all(&self.table, &deletes).await
    }
}

fn pk(tenant: &TenantId) -> String {
    format!("{tenant}#usage")
}

fn day_prefix(day: Day) -> String {
    format!("day#{day}#")
}

fn user_sk(day: Day, part: u8, user: &UserId) -> String {
    format!("user#{day}#{part}#{user}")
}
