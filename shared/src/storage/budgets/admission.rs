//! Admission: one conditional write counts a message and reserves what its generation takes.

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};

use super::{
    record::{BudgetRecord, OwnLimits, RunningSlot, slot_name},
    repository::{BudgetRepository, key},
};
use crate::{
    domain::{
        budget::{BudgetLimits, QuotaExceeded, Reservation, TokenQuota},
        day::Day,
        id::{ChatId, TenantId},
        limits::WINDOW,
        time::Timestamp,
    },
    storage::{
        conditional::{ConditionalUpdate, unless_refused},
        error::StorageError,
        item::{Item, SET_VERSION, number, text, to_value, version},
        transaction::{ATTEMPTS, back_off},
    },
};

/// How many expired slots one write removes: an expression has at most 4 KB.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const MAX_REMOVED: usize = 50;

/// The condition that one more generation may run and that its tokens fit into the quotas.
const FITS: &str = "size(running) < :max_generations AND attribute_not_exists(running.#slot) \
                    AND tokens_of_day <= :max_used_of_day AND tokens_of_month <= :max_used_of_month";

/// Whether a tenant may start a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetAdmission {
    /// It may; the reservation is made, and the message counted.
    Admitted,
    /// The limit of concurrent generations is reached.
    GenerationLimit {
        /// The limit.
        limit: u32,
        /// Whether to [search](BudgetRepository::claim_search) generations whose owners died.
        may_be_lost: bool,
    },
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

impl BudgetRepository {
    /// Counts a message and reserves what its generation takes, if the tenant's own limits allow it, or else the
    /// `installation`'s. Slots that have expired are removed before a tenant is refused for its generations; what they
    /// reserve counts as used until the day ends.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the reservation may be made then.
    pub async fn admit(
        &self,
        (tenant, chat): (&TenantId, &ChatId),
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
                    self.count((tenant, chat), reservation, (&remembered, installation), Day::of(now), now)
                }
                Some(record) => {
                    // After a lost response the SDK writes again, and the condition fails on the first write.
                    if record.has(reservation.slot, chat) {
                        return Ok(BudgetAdmission::Admitted);
                    }
                    self.own_limits.put(tenant.clone(), record.limits.clone());
                    let limits = installation.overridden_by(record.limits.read);
                    if let Some(refusal) = refusal(record, reservation, limits, now) {
                        self.refusals.note(tenant, now);
                        return Ok(refusal);
                    }
                    self.prepare(tenant, record, limits, now).await?;
                    let day = record.day_at(now);
                    match record.window_ends_at {
                        Some(ends_at) if ends_at > now => {
                            self.count((tenant, chat), reservation, (&record.limits, installation), day, now)
                        }
                        _ => self.start_window((tenant, chat), reservation, record, installation, now),
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
            let expired: Vec<_> = seen.slots().filter(|taken| taken.slot.has_expired(now)).take(MAX_REMOVED).collect();
            self.remove(tenant, &expired).await?;
        }
        Ok(())
    }

    /// Counts a message into the current window.
    fn count(
        &self,
        (tenant, chat): (&TenantId, &ChatId),
        reservation: Reservation,
        (own, installation): (&OwnLimits, BudgetLimits),
        day: Day,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        const IN_WINDOW: &str = "window_ends_at > :now AND message_count < :max_messages";
        let limits = installation.overridden_by(own.read);
        self.reserve((tenant, chat), reservation, (own, limits), day, IN_WINDOW)
            .update_expression(
                "SET running.#slot = :tokens ADD message_count :one, tokens_of_day :tokens, tokens_of_month :tokens",
            )
            .expression_attribute_values(":now", text(now))
            .expression_attribute_values(":max_messages", number(limits.messages_per_minute))
    }

    /// Starts the window after the one in the `seen` record, if no other message has. Creates the item.
    fn start_window(
        &self,
        (tenant, chat): (&TenantId, &ChatId),
        reservation: Reservation,
        seen: &BudgetRecord,
        installation: BudgetLimits,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        const START: &str = "message_count = :one, window_ends_at = :ends_at";
        if let (Some(_), Some(ended_at)) = (&seen.running, seen.window_ends_at) {
            let limits = installation.overridden_by(seen.limits.read);
            return self
                .reserve(
                    (tenant, chat),
                    reservation,
                    (&seen.limits, limits),
                    seen.day_at(now),
                    "window_ends_at = :ended_at",
                )
                .update_expression(format!(
                    "SET running.#slot = :tokens, {START} ADD tokens_of_day :tokens, tokens_of_month :tokens"
                ))
                .expression_attribute_values(":ends_at", text(now.plus(WINDOW)))
                .expression_attribute_values(":ended_at", text(ended_at));
        }
        let running = Item::from([(slot_name(reservation.slot, chat), number(reservation.tokens))]);
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
        (tenant, chat): (&TenantId, &ChatId),
        reservation: Reservation,
        (own, limits): (&OwnLimits, BudgetLimits),
        day: Day,
        condition: &str,
    ) -> UpdateItemFluentBuilder {
        // No number of tokens is below zero.
        let max_used = |quota: TokenQuota| quota.max_used_before(reservation.tokens).map_or(number(-1), number);
        let mut update = self
            .update(tenant)
            .expression_attribute_names("#slot", slot_name(reservation.slot, chat))
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

    /// Removes expired slots; the tokens that they reserve stay counted until the day ends.
    async fn remove(&self, tenant: &TenantId, slots: &[RunningSlot]) -> Result<(), StorageError> {
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
            update = update.expression_attribute_names(format!("#slot{place}"), slot_name(slot.slot, &slot.chat));
        }
        unless_refused(update.send().await).map(drop)
    }
}

/// Why a message may not be admitted; `None` if nothing speaks against it, or expired slots have to be removed first.
fn refusal(
    record: &BudgetRecord,
    reservation: Reservation,
    limits: BudgetLimits,
    now: Timestamp,
) -> Option<BudgetAdmission> {
    let window = record.window_ends_at.filter(|ends_at| *ends_at > now);
    let sent = window.map_or(0, |_| record.message_count);
    if sent >= limits.messages_per_minute {
        let ends_at = window.unwrap_or(now.plus(WINDOW));
        return Some(BudgetAdmission::MessageRate { limit: limits.messages_per_minute, ends_at });
    }
    if record.live(now).len() >= limits.generations as usize {
        let may_be_lost = record.may_be_lost(now);
        return Some(BudgetAdmission::GenerationLimit { limit: limits.generations, may_be_lost });
    }
    let (of_day, of_month) = record.tokens_at(now);
    let exceeded = limits.exceeded_by(reservation.tokens, of_day, of_month, record.day_at(now));
    exceeded.map(BudgetAdmission::Quota)
}
