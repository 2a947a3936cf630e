//! The budget of a tenant: how many generations it runs at once, and how many messages it sends a minute.
//!
//! A generation holds a Lambda environment and costs model tokens for up to 15 minutes, also when its socket is closed.
//! All tenants share the account's environments, so a tenant may use a bounded number of them. DynamoDB counts:
//! `storage::budgets`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{
    error::{ApiError, Code},
    time::Timestamp,
};

/// How long a generation may hold its slot: as long as a function may run, which is 15 minutes, and a minute more. The
/// owner or a takeover releases the slot long before; this limit is for a process that died before it stored the message.
const SLOT_LIFETIME: Duration = Duration::from_secs(16 * 60);

/// The limits of a tenant's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Generations at once, over all chats and sockets of the tenant.
    pub generations: u32,
    /// Messages a minute. A command to regenerate counts as a message.
    pub messages_per_minute: u32,
}

/// The limits that a tenant has of its own; the others are those of the installation. As a change: the limits that change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BudgetOverrides {
    /// Generations at once.
    pub generations: Option<u32>,
    /// Messages a minute.
    pub messages_per_minute: Option<u32>,
}

/// The name of a generation's slot: when it was taken, in milliseconds since the epoch, followed by six random digits.
///
/// A name makes the count exact: taking or releasing a slot twice is the same as once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GenerationSlot(u64);

impl BudgetLimits {
    /// The highest limit of generations that can be set: an account has 1,000 Lambda environments unless AWS raised that.
    pub const MAX_GENERATIONS: u32 = 1_000;

    /// These limits, with those of a tenant in their place.
    #[must_use]
    pub fn overridden_by(self, tenant: BudgetOverrides) -> Self {
        Self {
            generations: tenant.generations.unwrap_or(self.generations),
            messages_per_minute: tenant.messages_per_minute.unwrap_or(self.messages_per_minute),
        }
    }
}

impl BudgetOverrides {
    /// Whether there is any.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::default()
    }
}

impl GenerationSlot {
    /// Decimal digits that tell apart the slots of one millisecond.
    const RANDOM_DIGITS: u64 = 1_000_000;

    /// A new slot, taken now.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let digits = rand::random::<u64>() % Self::RANDOM_DIGITS;
        Self(now.millis_since(Timestamp::from_millis(0)) * Self::RANDOM_DIGITS + digits)
    }

    /// Reads a name; `None` when it is not a number.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Whether no generation can hold the slot any more.
    #[must_use]
    pub fn has_expired(self, now: Timestamp) -> bool {
        let taken_at = Timestamp::from_millis(i64::try_from(self.0 / Self::RANDOM_DIGITS).unwrap_or(i64::MAX));
        taken_at.plus(SLOT_LIFETIME) <= now
    }
}

impl fmt::Display for GenerationSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error for a message beyond the limit of generations. The message is not stored.
#[must_use]
pub fn generation_limit_exceeded(limit: u32) -> ApiError {
    const SECONDS: u32 = 5;
    if limit == 0 {
        return nothing_allowed(Code::GenerationLimitExceeded);
    }
    ApiError::new(
        Code::GenerationLimitExceeded,
        format!("Your tenant has its {limit} answers streaming."),
        "Wait for one of them to end, or cancel one; then try again.",
    )
    .with_detail("limit", limit)
    .with_detail("retry_after_seconds", SECONDS)
}

/// The error for a message beyond the limit of a minute that ends at `ends_at`. The message is not stored.
#[must_use]
pub fn message_rate_exceeded(limit: u32, ends_at: Timestamp, now: Timestamp) -> ApiError {
    if limit == 0 {
        return nothing_allowed(Code::MessageRateExceeded);
    }
    let seconds = ends_at.millis_since(now).div_ceil(1_000).max(1);
    ApiError::new(
        Code::MessageRateExceeded,
        format!("Your tenant has sent its {limit} messages of this minute."),
        "Wait for the next minute, then try again.",
    )
    .with_detail("limit", limit)
    .with_detail("retry_after_seconds", seconds)
}

/// The error for a tenant whose limit is 0: waiting does not help.
fn nothing_allowed(code: Code) -> ApiError {
    ApiError::new(code, "Your tenant may not ask for answers.", "Ask the operator of this service for a higher limit.")
        .with_detail("limit", 0)
        .with_retryable(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_769_851_800_120)
    }

    #[test]
    fn slot_expires_a_minute_after_the_longest_invocation() {
        let slot = GenerationSlot::new(now());
        assert!(!slot.has_expired(now().plus(Duration::from_secs(16 * 60 - 1))));
        assert!(slot.has_expired(now().plus(Duration::from_secs(16 * 60))));
    }

    #[test]
    fn slot_is_read_as_it_is_written_and_differs_from_others_of_its_millisecond() {
        let slot = GenerationSlot::new(now());
        assert_eq!(GenerationSlot::parse(&slot.to_string()), Some(slot));
        assert_eq!(GenerationSlot::parse("x"), None);
        let slots: std::collections::BTreeSet<_> = (0..10).map(|_| GenerationSlot::new(now())).collect();
        assert!(slots.len() > 1, "{slots:?}");
    }

    #[test]
    fn limits_of_a_tenant_replace_those_of_the_installation_one_by_one() {
        let tenant = BudgetOverrides { generations: Some(3), ..BudgetOverrides::default() };
        let limits = BudgetLimits { generations: 50, messages_per_minute: 600 }.overridden_by(tenant);
        assert_eq!(limits, BudgetLimits { generations: 3, messages_per_minute: 600 });
    }

    #[test]
    fn limit_of_zero_names_no_wait() {
        for error in [generation_limit_exceeded(0), message_rate_exceeded(0, now(), now())] {
            assert!(!error.retryable() && error.detail("retry_after_seconds").is_none(), "{error}");
        }
    }

    #[test]
    fn wait_for_the_next_minute_is_never_zero() {
        let wait = |millis| {
            let error = message_rate_exceeded(600, now().plus(Duration::from_millis(millis)), now());
            error.detail("retry_after_seconds").and_then(serde_json::Value::as_u64)
        };
        assert_eq!((wait(0), wait(1_001)), (Some(1), Some(2)));
    }
}
