//! Budgets: how many generations a tenant runs at once, how many messages it sends a minute, and how many tokens it uses a
//! day and a month.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#budget` | `~budget` | `running`, a map from [slots](GenerationSlot) to the tokens that they reserve; `message_count` and `window_ends_at`; `day`, `tokens_of_day` and `tokens_of_month`; the tenant's own `limits` |
//!
//! A map knows which generations run, not only how many, so taking or settling a slot twice is the same as once: the SDK
//! may repeat these writes after a lost response, and both an owner and a takeover may settle. `tokens_of_day` and
//! `tokens_of_month` are what ended generations have used plus what running ones reserve, so they are never below what
//! `running` reserves.
//!
//! DynamoDB's conditions do not calculate, so a process sends the limits that it remembers for a tenant, on the condition
//! that they are those of the item. A message is admitted by one conditional write; by one more if the limits were changed
//! or are not remembered, at the turn of a minute, and at the turn of a day. A tenant that was refused in the last seconds
//! is read first, since refused writes cost too. The item lies apart from the tenant's access item, whose writes must not
//! queue behind messages, and is billed by its size, about 30 bytes a generation.

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
    item::{self, Item, SET_VERSION, number, text, to_value, version},
    recent_refusals::RecentRefusals,
    table::{Key, Table},
    transaction::{ATTEMPTS, back_off},
};
use crate::{
    domain::{
        budget::{BudgetLimits, BudgetOverrides, GenerationSlot, QuotaExceeded, Reservation, TokenQuota},
        day::Day,
        id::TenantId,
        limits::WINDOW,
        time::Timestamp,
    },
    runtime::cache::Cache,
};

const BUDGET_SK: &str = "~budget";

/// How many expired slots one write removes: an expression has at most 4 KB.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_REMOVED: usize = 50;

/// The condition that one more generation may run and that its tokens fit into the quotas.
const FITS: &str = "size(running) < :max_generations AND attribute_not_exists(running.#slot) \
                    AND tokens_of_day <= :max_used_of_day AND tokens_of_month <= :max_used_of_month";

/// The budgets of tenants.
#[derive(Clone, Debug)]
pub struct BudgetRepository {
    table: Table,
    /// The limits that tenants have of their own, as this process last saw them.
    own_limits: Cache<TenantId, OwnLimits>,
    refusals: RecentRefusals,
}

/// A tenant's own limits.
#[derive(Clone, Debug, Default)]
struct OwnLimits {
    read: BudgetOverrides,
    /// As they are stored: a later release may have added some that this one does not know.
    stored: Option<Item>,
}

/// Whether a tenant may start a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetAdmission {
    /// It may; the reservation is made, and the message counted.
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
    /// The tokens do not fit into a quota.
    Quota(QuotaExceeded),
}

/// A tenant's budget, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    /// The tenant's own limits.
    pub limits: BudgetOverrides,
    /// How many generations run.
    pub running: usize,
    /// The tokens of today and of this month, used or reserved.
    pub tokens_of_day: u64,
    /// As `tokens_of_day`.
    pub tokens_of_month: u64,
}

#[derive(Default, Deserialize)]
struct BudgetRecord {
    /// What each slot reserves.
    #[serde(default)]
    running: Option<BTreeMap<String, u32>>,
    #[serde(default)]
    message_count: u32,
    #[serde(default)]
    window_ends_at: Option<Timestamp>,
    #[serde(default)]
    day: Option<Day>,
    #[serde(default)]
    tokens_of_day: i64,
    #[serde(default)]
    tokens_of_month: i64,
    #[serde(skip)]
    limits: OwnLimits,
}

impl BudgetRecord {
    fn of(item: Option<Item>) -> Result<Self, StorageError> {
        let Some(item) = item else { return Ok(Self::default()) };
        let stored = item.get("limits").and_then(|limits| limits.as_m().ok()).cloned();
        let read = stored.clone().map(item::from_item).transpose()?.unwrap_or_default();
        Ok(Self { limits: OwnLimits { read, stored }, ..item::from_item(item)? })
    }

    fn slots(&self) -> impl Iterator<Item = GenerationSlot> {
        self.running.iter().flat_map(BTreeMap::keys).filter_map(|name| GenerationSlot::parse(name))
    }

    /// The day that counts: that of the item if this machine's clock is behind, since days do not go back.
    fn day_at(&self, now: Timestamp) -> Day {
        Day::of(now).max(self.day.unwrap_or(Day::of(now)))
    }

    /// The reservations that may still be settled.
    fn live(&self, now: Timestamp) -> BTreeMap<String, u32> {
        let is_live = |name: &str| GenerationSlot::parse(name).is_some_and(|slot| !slot.has_expired(now));
        let running = self.running.iter().flatten().filter(|(name, _)| is_live(name));
        running.map(|(name, tokens)| (name.clone(), *tokens)).collect()
    }

    /// The tokens of today and of this month. A new day starts with what generations reserve that run on.
    fn tokens_at(&self, now: Timestamp) -> (u64, u64) {
        let today = self.day_at(now);
        let reserved = || self.live(now).into_values().map(u64::from).sum();
        let counted = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
        match self.day {
            Some(day) if day == today => (counted(self.tokens_of_day), counted(self.tokens_of_month)),
            Some(day) if day.first_of_month() == today.first_of_month() => (reserved(), counted(self.tokens_of_month)),
            _ => (reserved(), reserved()),
        }
    }

    /// Why a message may not be admitted; `None` if nothing speaks against it, or expired slots have to be removed first.
    fn refusal(&self, reservation: Reservation, limits: BudgetLimits, now: Timestamp) -> Option<BudgetAdmission> {
        let window = self.window_ends_at.filter(|ends_at| *ends_at > now);
        let sent = window.map_or(0, |_| self.message_count);
        if sent >= limits.messages_per_minute {
            let ends_at = window.unwrap_or(now.plus(WINDOW));
            return Some(BudgetAdmission::MessageRate { limit: limits.messages_per_minute, ends_at });
        }
        if self.live(now).len() >= limits.generations as usize {
            return Some(BudgetAdmission::GenerationLimit(limits.generations));
        }
        let (of_day, of_month) = self.tokens_at(now);
        let exceeded = limits.exceeded_by(reservation.tokens, of_day, of_month, self.day_at(now));
        exceeded.map(BudgetAdmission::Quota)
    }
}

impl BudgetRepository {
    /// The budgets in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self::in_table(&Table::new(client, table_name))
    }

    pub(super) fn in_table(table: &Table) -> Self {
        Self { table: table.clone(), own_limits: Cache::default(), refusals: RecentRefusals::default() }
    }

    /// Counts a message and reserves what its generation takes, if the tenant's own limits allow it, or else the
    /// `installation`'s. Slots that have expired are removed before a tenant is refused for its generations; what they
    /// reserve counts as used until the day ends.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the reservation may be made then.
    pub async fn admit(
        &self,
        tenant: &TenantId,
        reservation: Reservation,
        installation: BudgetLimits,
        now: Timestamp,
    ) -> Result<BudgetAdmission, StorageError> {
        let mut seen = match self.refusals.contains(tenant, now) {
            true => Some(self.record(tenant).await?),
            false => None,
        };
        for attempt in 1..=ATTEMPTS {
            let write = match &seen {
                None => {
                    let remembered = self.own_limits.get(tenant).unwrap_or_default();
                    self.count(tenant, reservation, (&remembered, installation), Day::of(now), now)
                }
                Some(record) => {
                    // After a lost response the SDK writes again, and the condition fails on the first write.
                    if record.slots().any(|taken| taken == reservation.slot) {
                        return Ok(BudgetAdmission::Admitted);
                    }
                    self.own_limits.put(tenant.clone(), record.limits.clone());
                    let limits = installation.overridden_by(record.limits.read);
                    if let Some(refusal) = record.refusal(reservation, limits, now) {
                        self.refusals.note(tenant, now);
                        return Ok(refusal);
                    }
                    self.prepare(tenant, record, limits, now).await?;
                    let day = record.day_at(now);
                    match record.window_ends_at {
                        Some(ends_at) if ends_at > now => {
                            self.count(tenant, reservation, (&record.limits, installation), day, now)
                        }
                        _ => self.start_window(tenant, reservation, record, installation, now),
                    }
                }
            };
            seen = match ConditionalUpdate::of(write.send().await)? {
                ConditionalUpdate::Updated(_) => return Ok(BudgetAdmission::Admitted),
                ConditionalUpdate::Refused(item) => Some(BudgetRecord::of(item)?),
            };
            if attempt > 1 {
                back_off(attempt).await;
            }
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }

    /// Does what the next attempt needs: starts a new day, or removes expired slots at the limit of generations.
    async fn prepare(
        &self,
        tenant: &TenantId,
        seen: &BudgetRecord,
        limits: BudgetLimits,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if seen.running.is_none() {
            return Ok(());
        }
        if seen.day != Some(seen.day_at(now)) {
            return self.start_day(tenant, seen, now).await;
        }
        if seen.slots().count() >= limits.generations as usize {
            let expired: Vec<_> = seen.slots().filter(|slot| slot.has_expired(now)).take(MAX_REMOVED).collect();
            self.remove(tenant, &expired).await?;
        }
        Ok(())
    }

    /// Counts a message into the current window.
    fn count(
        &self,
        tenant: &TenantId,
        reservation: Reservation,
        (own, installation): (&OwnLimits, BudgetLimits),
        day: Day,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        const IN_WINDOW: &str = "window_ends_at > :now AND message_count < :max_messages";
        let limits = installation.overridden_by(own.read);
        self.reserve(tenant, reservation, (own, limits), day, IN_WINDOW)
            .update_expression(
                "SET running.#slot = :tokens ADD message_count :one, tokens_of_day :tokens, tokens_of_month :tokens",
            )
            .expression_attribute_values(":now", text(now))
            .expression_attribute_values(":max_messages", number(limits.messages_per_minute))
    }

    /// Starts the window after the one in the `seen` record, if no other message has. Creates the item.
    fn start_window(
        &self,
        tenant: &TenantId,
        reservation: Reservation,
        seen: &BudgetRecord,
        installation: BudgetLimits,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        const START: &str = "message_count = :one, window_ends_at = :ends_at";
        if let (Some(_), Some(ended_at)) = (&seen.running, seen.window_ends_at) {
            let limits = installation.overridden_by(seen.limits.read);
            return self
                .reserve(tenant, reservation, (&seen.limits, limits), seen.day_at(now), "window_ends_at = :ended_at")
                .update_expression(format!(
                    "SET running.#slot = :tokens, {START} ADD tokens_of_day :tokens, tokens_of_month :tokens"
                ))
                .expression_attribute_values(":ends_at", text(now.plus(WINDOW)))
                .expression_attribute_values(":ended_at", text(ended_at));
        }
        let running = Item::from([(reservation.slot.to_string(), number(reservation.tokens))]);
        self.update(tenant)
            .update_expression(format!(
                "{SET_VERSION}, running = :running, {START}, #day = :today, tokens_of_day = :tokens, \
                 tokens_of_month = :tokens"
            ))
            .condition_expression("attribute_not_exists(running)")
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":v", version())
            .expression_attribute_values(":running", AttributeValue::M(running))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":ends_at", text(now.plus(WINDOW)))
            .expression_attribute_values(":today", text(Day::of(now)))
            .expression_attribute_values(":tokens", number(reservation.tokens))
    }

    /// An update that makes a reservation, on the condition that it fits into the limits, and that the tenant's `own` ones
    /// have not changed.
    fn reserve(
        &self,
        tenant: &TenantId,
        reservation: Reservation,
        (own, limits): (&OwnLimits, BudgetLimits),
        day: Day,
        condition: &str,
    ) -> UpdateItemFluentBuilder {
        // No number of tokens is below zero.
        let max_used = |quota: TokenQuota| quota.max_used_before(reservation.tokens).map_or(number(-1), number);
        let mut update = self
            .update(tenant)
            .expression_attribute_names("#slot", reservation.slot.to_string())
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":tokens", number(reservation.tokens))
            .expression_attribute_values(":today", text(day))
            .expression_attribute_values(":max_generations", number(limits.generations))
            .expression_attribute_values(":max_used_of_day", max_used(limits.tokens_per_day))
            .expression_attribute_values(":max_used_of_month", max_used(limits.tokens_per_month));
        let mut unchanged = "attribute_not_exists(limits)";
        if let Some(stored) = &own.stored {
            unchanged = "limits = :limits";
            update = update.expression_attribute_values(":limits", AttributeValue::M(stored.clone()));
        }
        update.condition_expression(format!("{condition} AND #day = :today AND {unchanged} AND {FITS}"))
    }

    /// Starts a day after that of the `seen` record, if nothing has changed since. What generations reserve that run on is
    /// carried over, so that settling them later never takes off more than was added. Expired slots are removed: each new
    /// day would start with what they reserve.
    async fn start_day(&self, tenant: &TenantId, seen: &BudgetRecord, now: Timestamp) -> Result<(), StorageError> {
        let (of_day, of_month) = seen.tokens_at(now);
        let mut update = self
            .table
            .update(key(tenant))
            .update_expression(
                "SET #day = :today, tokens_of_day = :of_day, tokens_of_month = :of_month, running = :live",
            )
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":today", text(seen.day_at(now)))
            .expression_attribute_values(":running", to_value(&seen.running)?)
            .expression_attribute_values(":live", to_value(seen.live(now))?)
            .expression_attribute_values(":of_day", number(of_day))
            .expression_attribute_values(":of_month", number(of_month));
        let mut condition = "running = :running AND ".to_owned();
        match seen.day {
            Some(day) => {
                // A reservation that was made and settled in between has changed the tokens alone.
                condition += "#day = :seen_day AND tokens_of_month = :seen_of_month";
                update = update
                    .expression_attribute_values(":seen_day", text(day))
                    .expression_attribute_values(":seen_of_month", number(seen.tokens_of_month));
            }
            None => condition += "attribute_not_exists(#day)",
        }
        unless_refused(update.condition_expression(condition).send().await).map(drop)
    }

    fn update(&self, tenant: &TenantId) -> UpdateItemFluentBuilder {
        self.table
            .update(key(tenant))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// Settles the reservation of a generation that has ended: `used` tokens count in its place. A reservation that was
    /// settled or has expired is ignored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the reservation may stand then, until it expires.
    pub async fn settle(&self, tenant: &TenantId, reservation: Reservation, used: u64) -> Result<(), StorageError> {
        let change = i128::from(used) - i128::from(reservation.tokens);
        let update = self
            .table
            .update(key(tenant))
            .update_expression("REMOVE running.#slot ADD tokens_of_day :change, tokens_of_month :change")
            .condition_expression("attribute_exists(running.#slot)")
            .expression_attribute_names("#slot", reservation.slot.to_string())
            .expression_attribute_values(":change", number(change));
        unless_refused(update.send().await).map(drop)
    }

    /// Removes expired slots; the tokens that they reserve stay counted until the day ends.
    async fn remove(&self, tenant: &TenantId, slots: &[GenerationSlot]) -> Result<(), StorageError> {
        if slots.is_empty() {
            return Ok(());
        }
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

    /// Reads a tenant's own limits, how many generations it runs, and its tokens.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn status(&self, tenant: &TenantId, now: Timestamp) -> Result<BudgetStatus, StorageError> {
        let record = self.record(tenant).await?;
        let running = record.live(now).len();
        let (tokens_of_day, tokens_of_month) = record.tokens_at(now);
        Ok(BudgetStatus { limits: record.limits.read, running, tokens_of_day, tokens_of_month })
    }

    /// Changes a tenant's own limits, from its next message on. Only the named limits are changed.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails, or when others change the limits at the same time.
    pub async fn set_limits(&self, tenant: &TenantId, change: BudgetOverrides) -> Result<(), StorageError> {
        if !change.is_some() {
            return Ok(());
        }
        for attempt in 1..=ATTEMPTS {
            let seen = self.record(tenant).await?.limits.stored;
            let mut limits = seen.clone().unwrap_or_default();
            limits.extend(to_value(change)?.as_m().cloned().unwrap_or_default());
            let update = self
                .table
                .update(key(tenant))
                .update_expression(format!("{SET_VERSION}, limits = :limits"))
                .expression_attribute_values(":v", version())
                .expression_attribute_values(":limits", AttributeValue::M(limits));
            let update = match seen {
                Some(seen) => update
                    .condition_expression("limits = :seen")
                    .expression_attribute_values(":seen", AttributeValue::M(seen)),
                None => update.condition_expression("attribute_not_exists(limits)"),
            };
            if unless_refused(update.send().await)?.is_some() {
                return Ok(());
            }
            back_off(attempt).await;
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }

    async fn record(&self, tenant: &TenantId) -> Result<BudgetRecord, StorageError> {
        BudgetRecord::of(self.table.get(key(tenant)).send().await?.item)
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
