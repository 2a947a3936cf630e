//! The budget of a tenant: how many generations it runs at once, how many messages it sends a minute, and how many tokens
//! its generations use a day and a month.
//!
//! A generation holds a Lambda environment and costs model tokens for up to 15 minutes, also when its socket is closed.
//! All tenants share the account's environments and its bill, so a tenant may use a bounded part of them. DynamoDB counts:
//! `storage::budgets`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{
    day::Day,
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
    /// Tokens a day in UTC, input and output together.
    pub tokens_per_day: TokenQuota,
    /// Tokens a month in UTC, input and output together.
    pub tokens_per_month: TokenQuota,
}

/// A quota of tokens, or none: written as a number, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenQuota(u64);

/// The limits that a tenant has of its own; the others are those of the installation. As a change: the limits that change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetOverrides {
    /// Generations at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generations: Option<u32>,
    /// Messages a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<u32>,
    /// Tokens a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<TokenQuota>,
    /// Tokens a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<TokenQuota>,
}

/// A quota of tokens that is used up, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// `day` or `month`.
    pub period: &'static str,
    /// The quota.
    pub quota: TokenQuota,
    /// When the next day or month begins.
    pub resets_at: Timestamp,
    /// Whether the tokens fit then: they are no more than the whole quota.
    pub fits_later: bool,
}

/// The name of a generation's slot: when it was taken, in milliseconds since the epoch, followed by six random digits.
///
/// A name makes the count exact: taking or releasing a slot twice is the same as once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GenerationSlot(u64);

/// What a generation takes of its tenant's budget until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reservation {
    /// One of the generations at once.
    pub slot: GenerationSlot,
    /// Tokens of the quotas: more than the generation is likely to use.
    pub tokens: u32,
}

impl BudgetLimits {
    /// The highest limit of generations that can be set: an account has 1,000 Lambda environments unless AWS raised that.
    pub const MAX_GENERATIONS: u32 = 1_000;

    /// These limits, with those of a tenant in their place.
    #[must_use]
    pub fn overridden_by(self, tenant: BudgetOverrides) -> Self {
        Self {
            generations: tenant.generations.unwrap_or(self.generations),
            messages_per_minute: tenant.messages_per_minute.unwrap_or(self.messages_per_minute),
            tokens_per_day: tenant.tokens_per_day.unwrap_or(self.tokens_per_day),
            tokens_per_month: tenant.tokens_per_month.unwrap_or(self.tokens_per_month),
        }
    }

    /// The quota that `tokens` more would exceed, of a tenant that has used or reserved this many today and this month.
    #[must_use]
    pub fn exceeded_by(self, tokens: u32, of_day: u64, of_month: u64, today: Day) -> Option<QuotaExceeded> {
        // The month first: a new day does not help.
        let periods = [
            ("month", self.tokens_per_month, of_month, today.end_of_month()),
            ("day", self.tokens_per_day, of_day, today.end()),
        ];
        let exceeded =
            |(period, quota, _, resets_at), fits_later| QuotaExceeded { period, quota, resets_at, fits_later };
        let never = periods.into_iter().find(|(_, quota, ..)| quota.max_used_before(tokens).is_none());
        let not_now = || {
            let is_exceeded = |quota: TokenQuota, used| quota.max_used_before(tokens).is_some_and(|max| used > max);
            periods.into_iter().find(|(_, quota, used, _)| is_exceeded(*quota, *used))
        };
        never.map(|period| exceeded(period, false)).or_else(|| not_now().map(|period| exceeded(period, true)))
    }
}

impl TokenQuota {
    /// No quota.
    pub const NONE: Self = Self(u64::MAX);

    /// A quota of this many tokens.
    #[must_use]
    pub const fn tokens(tokens: u64) -> Self {
        Self(tokens)
    }

    /// The number of tokens; `None` when there is no quota.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        Some(self.0).filter(|_| self != Self::NONE)
    }

    /// How many tokens may be used before so that `tokens` more still fit; `None` when they never do.
    #[must_use]
    pub fn max_used_before(self, tokens: u32) -> Option<u64> {
        self.0.checked_sub(tokens.into())
    }
}

impl fmt::Display for TokenQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit() {
            Some(tokens) => tokens.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// A text that is no quota.
#[derive(Debug, thiserror::Error)]
#[error("a quota is a whole number of tokens, or `none`")]
pub struct NotAQuota;

impl FromStr for TokenQuota {
    type Err = NotAQuota;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::NONE),
            number => number.parse().map(Self).map_err(|_| NotAQuota),
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

    /// When it was taken.
    #[must_use]
    pub fn taken_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0 / Self::RANDOM_DIGITS).unwrap_or(i64::MAX))
    }

    /// Whether no generation can hold the slot any more.
    #[must_use]
    pub fn has_expired(self, now: Timestamp) -> bool {
        self.taken_at().plus(SLOT_LIFETIME) <= now
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

/// The error for a message whose tokens exceed a quota. The message is not stored.
#[must_use]
pub fn quota_exceeded(exceeded: QuotaExceeded, now: Timestamp) -> ApiError {
    let QuotaExceeded { period, quota, resets_at, fits_later } = exceeded;
    if quota == TokenQuota::tokens(0) {
        return nothing_allowed(Code::QuotaExceeded);
    }
    let refused = |message: String, suggestion: String| {
        ApiError::new(Code::QuotaExceeded, message, suggestion)
            .with_detail("period", period)
            .with_detail("limit", quota.limit())
    };
    if !fits_later {
        return refused(
            format!("The answer may take more than all {quota} tokens that your tenant has a {period}."),
            "Send a shorter message, or lower `max_tokens` in the config of the chat.".to_owned(),
        )
        .with_retryable(false);
    }
    refused(
        format!("The answer may take more tokens than are left of your tenant's {quota} of this {period}."),
        format!("Wait for the next {period} in UTC, or send a shorter message."),
    )
    .with_detail("resets_at", resets_at.to_string())
    .with_detail("retry_after_seconds", resets_at.millis_since(now).div_ceil(1_000).max(1))
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

    const LIMITS: BudgetLimits = BudgetLimits {
        generations: 50,
        messages_per_minute: 600,
        tokens_per_day: TokenQuota::NONE,
        tokens_per_month: TokenQuota::NONE,
    };

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
        let quota = TokenQuota::tokens(1_000);
        let tenant =
            BudgetOverrides { generations: Some(3), tokens_per_day: Some(quota), ..BudgetOverrides::default() };
        assert_eq!(LIMITS.overridden_by(tenant), BudgetLimits { generations: 3, tokens_per_day: quota, ..LIMITS });
    }

    #[test]
    fn quota_is_exceeded_by_one_token_more() {
        let today: Day = "2026-01-30".parse().expect("a day");
        let limits = BudgetLimits {
            tokens_per_day: TokenQuota::tokens(100),
            tokens_per_month: TokenQuota::tokens(200),
            ..LIMITS
        };
        let exceeded = |tokens, day, month| limits.exceeded_by(tokens, day, month, today).map(|it| it.period);
        assert_eq!(
            (exceeded(10, 90, 190), exceeded(10, 91, 190), exceeded(10, 90, 191)),
            (None, Some("day"), Some("month"))
        );
        assert_eq!((exceeded(101, 0, 200), exceeded(100, 0, 0)), (Some("day"), None), "it never fits into a day");
        assert_eq!(LIMITS.exceeded_by(u32::MAX, u64::MAX / 2, u64::MAX / 2, today), None, "there is no quota");
        let resets = limits.exceeded_by(1, 0, 200, today).map(|it| it.resets_at.to_string());
        assert_eq!(resets.as_deref(), Some("2026-02-01T00:00:00.000Z"));
    }

    #[test]
    fn quotas_are_numbers_or_none() {
        let parse = |text: &str| text.parse::<TokenQuota>().ok();
        assert_eq!((parse("5000"), parse("none")), (Some(TokenQuota::tokens(5_000)), Some(TokenQuota::NONE)));
        assert_eq!((parse(""), parse("-1"), parse("1e6"), parse("unlimited")), (None, None, None, None));
        assert_eq!(
            (TokenQuota::NONE.to_string(), TokenQuota::tokens(7).to_string()),
            ("none".to_owned(), "7".to_owned())
        );
    }

    #[test]
    fn no_wait_is_named_where_waiting_does_not_help() {
        let quota = |tokens, fits_later| {
            let quota = TokenQuota::tokens(tokens);
            quota_exceeded(QuotaExceeded { period: "day", quota, resets_at: now(), fits_later }, now())
        };
        let refusals =
            [generation_limit_exceeded(0), message_rate_exceeded(0, now(), now()), quota(0, false), quota(5, false)];
        for error in refusals {
            assert!(!error.retryable() && error.detail("retry_after_seconds").is_none(), "{error}");
        }
        assert!(quota(5, true).retryable());
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
