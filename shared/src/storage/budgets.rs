//! Budgets: how many generations a tenant runs at once, and how many messages it sends a minute.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#budget` | `~budget` | `running`, a map whose keys are [slots](GenerationSlot); `message_count` and `window_ends_at`; the tenant's own limits |
//!
//! A map knows which generations run, not only how many, so taking or releasing a slot twice is the same as once: the SDK
//! may repeat these writes after a lost response, and both an owner and a takeover may release. A message is admitted by one
//! conditional write; two at the turn of a minute. The item lies apart from the tenant's access item, whose writes must not
//! queue behind messages, and is billed by its size, about 25 bytes a generation.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    Client,
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use serde::Deserialize;

use super::{
    conditional::{ConditionalUpdate, unless_refused},
    error::StorageError,
    item::{self, Item, SET_VERSION, number, text, version},
    table::{Key, Table},
    transaction::{ATTEMPTS, back_off},
};
use crate::domain::{
    budget::{BudgetLimits, BudgetOverrides, GenerationSlot},
    id::TenantId,
    limits::WINDOW,
    time::Timestamp,
};

const BUDGET_SK: &str = "~budget";

/// How many expired slots one write removes: an expression has at most 4 KB.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_REMOVED: usize = 50;

/// The condition that one more generation may run; `:max_generations` is the limit of a tenant without one of its own.
const MAY_RUN: &str = "(size(running) < max_generations \
                       OR (attribute_not_exists(max_generations) AND size(running) < :max_generations))";

/// The budgets of tenants.
#[derive(Clone, Debug)]
pub struct BudgetRepository {
    table: Table,
}

/// Whether a tenant may start a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetAdmission {
    /// It may; the slot is taken, and the message counted.
    Admitted,
    /// The limit of concurrent generations is reached.
    GenerationLimit(u32),
    /// The limit of messages of this minute is reached.
    MessageRate {
        /// The limit.
        limit: u32,
        /// When the minute ends.
        ends_at: Timestamp,
    },
}

/// A tenant's budget, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    /// The tenant's own limits.
    pub limits: BudgetOverrides,
    /// How many generations run.
    pub running: usize,
}

#[derive(Default, Deserialize)]
struct BudgetRecord {
    /// Slots; the values are unused.
    #[serde(default)]
    running: Option<BTreeMap<String, u32>>,
    #[serde(default)]
    message_count: u32,
    #[serde(default)]
    window_ends_at: Option<Timestamp>,
    #[serde(default)]
    max_generations: Option<u32>,
    #[serde(default)]
    max_messages_per_minute: Option<u32>,
}

impl BudgetRecord {
    fn overrides(&self) -> BudgetOverrides {
        BudgetOverrides { generations: self.max_generations, messages_per_minute: self.max_messages_per_minute }
    }

    fn slots(&self) -> impl Iterator<Item = GenerationSlot> {
        self.running.iter().flat_map(BTreeMap::keys).filter_map(|name| GenerationSlot::parse(name))
    }
}

impl BudgetRepository {
    /// The budgets in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone() }
    }

    /// Counts a message and takes a slot for its generation, if the tenant's own limits allow it, or else the
    /// `installation`'s. Slots that have expired are removed before a tenant is refused. If a response is lost, the SDK
    /// writes again and the message counts twice: the tenant may get one message less in that minute, never one more.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the slot may be taken then.
    pub async fn admit(
        &self,
        tenant: &TenantId,
        slot: GenerationSlot,
        installation: BudgetLimits,
        now: Timestamp,
    ) -> Result<BudgetAdmission, StorageError> {
        let mut write = self.count(tenant, slot, installation, now);
        for attempt in 1..=ATTEMPTS {
            let record: BudgetRecord = match ConditionalUpdate::of(write.send().await)? {
                ConditionalUpdate::Updated(_) => return Ok(BudgetAdmission::Admitted),
                ConditionalUpdate::Refused(item) => item.map(item::from_item).transpose()?.unwrap_or_default(),
            };
            // After a lost response the SDK writes again, and the condition fails on the first write.
            if record.slots().any(|taken| taken == slot) {
                return Ok(BudgetAdmission::Admitted);
            }
            let limits = installation.overridden_by(record.overrides());
            let window = record.window_ends_at.filter(|ends_at| *ends_at > now);
            let sent = window.map_or(0, |_| record.message_count);
            if sent >= limits.messages_per_minute {
                let ends_at = window.unwrap_or(now.plus(WINDOW));
                return Ok(BudgetAdmission::MessageRate { limit: limits.messages_per_minute, ends_at });
            }
            if record.slots().count() >= limits.generations as usize {
                let expired = record.slots().filter(|slot| slot.has_expired(now));
                let expired: Vec<GenerationSlot> = expired.take(MAX_REMOVED).collect();
                if expired.is_empty() {
                    return Ok(BudgetAdmission::GenerationLimit(limits.generations));
                }
                self.remove(tenant, &expired).await?;
            }
            write = match window {
                Some(_) => self.count(tenant, slot, installation, now),
                None => self.start_window(tenant, slot, &record, installation, now),
            };
            if attempt > 1 {
                back_off(attempt).await;
            }
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }

    /// Counts a message into the current window.
    fn count(
        &self,
        tenant: &TenantId,
        slot: GenerationSlot,
        installation: BudgetLimits,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        self.update(tenant)
            .update_expression("SET running.#slot = :zero ADD message_count :one")
            .condition_expression(format!(
                "window_ends_at > :now AND {MAY_RUN} AND (message_count < max_messages_per_minute \
                 OR (attribute_not_exists(max_messages_per_minute) AND message_count < :max_messages))"
            ))
            .expression_attribute_names("#slot", slot.to_string())
            .expression_attribute_values(":now", text(now))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":max_generations", number(installation.generations))
            .expression_attribute_values(":max_messages", number(installation.messages_per_minute))
    }

    /// Starts the window after the one in the `seen` record, if no other message has. Creates the item.
    fn start_window(
        &self,
        tenant: &TenantId,
        slot: GenerationSlot,
        seen: &BudgetRecord,
        installation: BudgetLimits,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        const START: &str = "message_count = :one, window_ends_at = :ends_at";
        let start = self
            .update(tenant)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":ends_at", text(now.plus(WINDOW)));
        let slot = slot.to_string();
        match (&seen.running, seen.window_ends_at) {
            (Some(_), Some(ended_at)) => start
                .update_expression(format!("SET running.#slot = :zero, {START}"))
                .condition_expression(format!("window_ends_at = :ended_at AND {MAY_RUN}"))
                .expression_attribute_names("#slot", slot)
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":max_generations", number(installation.generations))
                .expression_attribute_values(":ended_at", text(ended_at)),
            _ => start
                .update_expression(format!("{SET_VERSION}, running = :running, {START}"))
                .condition_expression("attribute_not_exists(running)")
                .expression_attribute_values(":v", version())
                .expression_attribute_values(":running", AttributeValue::M(Item::from([(slot, number(0))]))),
        }
    }

    fn update(&self, tenant: &TenantId) -> UpdateItemFluentBuilder {
        self.table
            .update(key(tenant))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// Releases the slot of a generation that has ended. A slot that is not taken is ignored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the slot may be taken then, until it expires.
    pub async fn release(&self, tenant: &TenantId, slot: GenerationSlot) -> Result<(), StorageError> {
        self.remove(tenant, &[slot]).await
    }

    async fn remove(&self, tenant: &TenantId, slots: &[GenerationSlot]) -> Result<(), StorageError> {
        let names: Vec<String> = (0..slots.len()).map(|place| format!("running.#slot{place}")).collect();
        let mut update = self
            .table
            .update(key(tenant))
            .update_expression(format!("REMOVE {}", names.join(", ")))
            .condition_expression("attribute_exists(running)");
        for (place, slot) in slots.iter().enumerate() {
            update = update.expression_attribute_names(format!("#slot{place}"), slot.to_string());
        }
        unless_refused(update.send().await).map(drop)
    }

    /// Reads a tenant's own limits and how many generations it runs.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<BudgetStatus, StorageError> {
        let record: BudgetRecord = self.table.get_as(key(tenant)).await?.unwrap_or_default();
        let running = record.slots().filter(|slot| !slot.has_expired(now)).count();
        Ok(BudgetStatus { limits: record.overrides(), running })
    }

    /// Changes a tenant's own limits, from its next message on. Only the named limits are written.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn set_limits(&self, tenant: &TenantId, new: BudgetOverrides) -> Result<(), StorageError> {
        let limits = [("max_generations", new.generations), ("max_messages_per_minute", new.messages_per_minute)];
        let mut update = self.table.update(key(tenant)).expression_attribute_values(":v", version());
        let mut expression = SET_VERSION.to_owned();
        for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
            expression.push_str(&format!(", {name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), number(limit));
        }
        update.update_expression(expression).send().await?;
        Ok(())
    }

    /// Deletes the item of a tenant that is erased.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId) -> Result<(), StorageError> {
        self.table.delete(key(tenant)).send().await?;
        Ok(())
    }
}

fn key(tenant: &TenantId) -> Key {
    Key::new(format!("{tenant}#budget"), BUDGET_SK)
}
