//! The item of a budget, and what it says about the next message.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    domain::{
        budget::{BudgetOverrides, GenerationSlot},
        day::Day,
        id::ChatId,
        time::Timestamp,
    },
    storage::{
        error::StorageError,
        item::{self, Item},
        records::lease::TAKEOVER_AFTER,
    },
};

/// A generation that has a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunningSlot {
    pub(super) slot: GenerationSlot,
    pub(super) chat: ChatId,
}

/// The name of a slot in `running`.
pub(super) fn slot_name(slot: GenerationSlot, chat: &ChatId) -> String {
    format!("{slot}@{chat}")
}

impl RunningSlot {
    fn parse(name: &str) -> Option<Self> {
        let (slot, chat) = name.split_once('@')?;
        Some(Self { slot: GenerationSlot::parse(slot)?, chat: ChatId::parse(chat)? })
    }
}

/// A tenant's own limits.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnLimits {
    pub(super) read: BudgetOverrides,
    /// As they are stored: a later release may have added some that this one does not know.
    pub(super) stored: Option<Item>,
}

#[derive(Default, Deserialize)]
pub(super) struct BudgetRecord {
    /// What each slot reserves, by [name](slot_name).
    #[serde(default)]
    pub(super) running: Option<BTreeMap<String, u32>>,
    #[serde(default)]
    pub(super) message_count: u32,
    #[serde(default)]
    pub(super) window_ends_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) day: Option<Day>,
    #[serde(default)]
    pub(super) tokens_of_day: i64,
    #[serde(default)]
    pub(super) tokens_of_month: i64,
    #[serde(skip)]
    pub(super) limits: OwnLimits,
    /// When lost generations were last searched.
    #[serde(default)]
    pub(super) searched_at: Option<Timestamp>,
}

impl BudgetRecord {
    pub(super) fn of(item: Option<Item>) -> Result<Self, StorageError> {
        let Some(item) = item else { return Ok(Self::default()) };
        let stored = item.get("limits").and_then(|limits| limits.as_m().ok()).cloned();
        let read = stored.clone().map(item::from_item).transpose()?.unwrap_or_default();
        Ok(Self { limits: OwnLimits { read, stored }, ..item::from_item(item)? })
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = RunningSlot> {
        self.running.iter().flat_map(BTreeMap::keys).filter_map(|name| RunningSlot::parse(name))
    }

    /// Whether the slot is taken.
    pub(super) fn has(&self, slot: GenerationSlot, chat: &ChatId) -> bool {
        self.running.as_ref().is_some_and(|running| running.contains_key(&slot_name(slot, chat)))
    }

    /// Whether a generation may be lost: it is older than a lease lasts, and none were searched for as long.
    pub(super) fn may_be_lost(&self, now: Timestamp) -> bool {
        let is_old = |since: Timestamp| since.plus(TAKEOVER_AFTER) <= now;
        self.searched_at.is_none_or(is_old) && self.slots().any(|running| is_old(running.slot.taken_at()))
    }

    /// The day that counts: that of the item if this machine's clock is behind, since days do not go back.
    pub(super) fn day_at(&self, now: Timestamp) -> Day {
        Day::of(now).max(self.day.unwrap_or(Day::of(now)))
    }

    /// The reservations that may still be settled.
    pub(super) fn live(&self, now: Timestamp) -> BTreeMap<String, u32> {
        let is_live = |name: &str| RunningSlot::parse(name).is_some_and(|it| !it.slot.has_expired(now));
        let running = self.running.iter().flatten().filter(|(name, _)| is_live(name));
        running.map(|(name, tokens)| (name.clone(), *tokens)).collect()
    }

    /// The tokens of today and of this month. A new day starts with what generations reserve that run on.
    pub(super) fn tokens_at(&self, now: Timestamp) -> (u64, u64) {
        let today = self.day_at(now);
        let reserved = || self.live(now).into_values().map(u64::from).sum();
        let counted = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
        match self.day {
            Some(day) if day == today => (counted(self.tokens_of_day), counted(self.tokens_of_month)),
            Some(day) if day.first_of_month() == today.first_of_month() => (reserved(), counted(self.tokens_of_month)),
            _ => (reserved(), reserved()),
        }
    }
}
