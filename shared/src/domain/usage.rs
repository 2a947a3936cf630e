//! The usage of a tenant: what its generations took, counted when they end.

use std::{cmp::Reverse, collections::BTreeMap, ops::AddAssign};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    day::Day,
    error::ApiError,
    id::UserId,
    input::{Field, Fields},
    message::Usage,
    pagination::{MAX_PAGE_BYTES, response_bytes},
};

/// Which usage a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRequest {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// By what the counts are grouped.
    pub group_by: GroupBy,
}

/// By what usage is grouped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum GroupBy {
    /// By day in UTC.
    #[default]
    Day,
    /// By model.
    Model,
    /// By user.
    User,
}

/// A group of counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageKey {
    /// A day.
    Day(Day),
    /// A model.
    Model(String),
    /// A user.
    User(UserId),
}

/// The usage of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageReport {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// By what the counts are grouped.
    pub group_by: GroupBy,
    /// The counts of all groups together.
    pub total: UsageCounts,
    /// The groups that have counts: days in their order, models and users with the most tokens first.
    pub usage: Vec<UsageGroup>,
}

/// The counts of a day, a model or a user.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageGroup {
    /// The day, if the counts are grouped by day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// The model, if the counts are grouped by model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The user, if the counts are grouped by user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The counts.
    #[serde(flatten)]
    pub counts: UsageCounts,
}

/// Counts of generations that have ended, and of what they used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageCounts {
    /// Messages of users that were answered. A regeneration answers no new message.
    pub messages: u64,
    /// Generations, regenerations included, whether they were completed, were cancelled or failed.
    pub generations: u64,
    /// Those of the generations whose tokens are estimated.
    pub estimated_generations: u64,
    /// Tokens of the requests to models.
    pub input_tokens: u64,
    /// Tokens of the generated texts.
    pub output_tokens: u64,
}

impl UsageRequest {
    /// The most days of a request.
    pub const MAX_DAYS: u32 = 366;

    /// Reads the parameters of a query string. Defaults: from the first of the month to today, by day.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for a value that is not allowed, `UNKNOWN_FIELD` for any other parameter.
    pub fn read(mut query: Fields, today: Day) -> Result<Self, ApiError> {
        let (to, from, group_by) = (query.optional("to")?, query.optional("from")?, query.optional("group_by")?);
        query.finish()?;
        Self::new(from, to, group_by, today)
    }

    /// A request with the defaults of [`read`](Self::read) for what is `None`.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for a first day after the last one, or too far before it.
    pub fn new(from: Option<Day>, to: Option<Day>, group_by: Option<GroupBy>, today: Day) -> Result<Self, ApiError> {
        let to = to.unwrap_or(today);
        let from = from.unwrap_or_else(|| to.first_of_month());
        let group_by = group_by.unwrap_or_default();
        if from > to || from.plus(Self::MAX_DAYS) <= to {
            let allowed = format!("a day up to {} days before `to`, which is {to}", Self::MAX_DAYS - 1);
            return Err(ApiError::invalid_parameter("from", &from.to_string().into(), &allowed));
        }
        Ok(Self { from, to, group_by })
    }

    /// The refusal of a request whose days have too many counts to return.
    #[must_use]
    pub fn too_much(self) -> ApiError {
        let allowed =
            format!("a day closer to `to`, which is {}: these days have too much usage for one response", self.to);
        ApiError::invalid_parameter("from", &self.from.to_string().into(), &allowed)
    }
}

impl Field for Day {
    const ALLOWED: &'static str = "a day in UTC, such as `2026-01-31`";

    fn read(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl Field for GroupBy {
    const ALLOWED: &'static str = "`day`, `model` or `user`";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "day" => Some(Self::Day),
            "model" => Some(Self::Model),
            "user" => Some(Self::User),
            _ => None,
        }
    }
}

impl UsageReport {
    /// Groups the counts of a request by the keys that it asks for.
    #[must_use]
    pub fn of(request: UsageRequest, counts: impl IntoIterator<Item = (UsageKey, UsageCounts)>) -> Self {
        let mut groups: BTreeMap<UsageKey, UsageCounts> = BTreeMap::new();
        for (key, counts) in counts {
            *groups.entry(key).or_default() += counts;
        }
        let total = groups.values().copied().sum();
        let mut usage: Vec<UsageGroup> = groups.into_iter().map(UsageGroup::from).collect();
        if request.group_by != GroupBy::Day {
            usage.sort_by_key(|group| Reverse(group.counts.tokens()));
        }
        Self { from: request.from, to: request.to, group_by: request.group_by, total, usage }
    }
}

impl UsageReport {
    /// Whether a function can return it: the ids of users may be long.
    #[must_use]
    pub fn fits_a_response(&self) -> bool {
        response_bytes(self) <= MAX_PAGE_BYTES
    }
}

impl From<(UsageKey, UsageCounts)> for UsageGroup {
    fn from((key, counts): (UsageKey, UsageCounts)) -> Self {
        let none = Self { day: None, model: None, user_id: None, counts };
        match key {
            UsageKey::Day(day) => Self { day: Some(day), ..none },
            UsageKey::Model(model) => Self { model: Some(model), ..none },
            UsageKey::User(user) => Self { user_id: Some(user), ..none },
        }
    }
}

impl UsageCounts {
    /// The counts of one generation.
    #[must_use]
    pub fn of_generation(usage: Usage, answers_message: bool) -> Self {
        Self {
            messages: answers_message.into(),
            generations: 1,
            estimated_generations: usage.estimated.into(),
            input_tokens: usage.input_tokens.into(),
            output_tokens: usage.output_tokens.into(),
        }
    }

    /// Input and output tokens together.
    #[must_use]
    pub fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl AddAssign for UsageCounts {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.generations += other.generations;
        self.estimated_generations += other.estimated_generations;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

impl std::iter::Sum for UsageCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().expect("a day")
    }

    fn read(pairs: &[(&str, &str)]) -> Result<UsageRequest, ApiError> {
        UsageRequest::read(Fields::from_pairs(pairs.iter().copied()), day("2026-03-15"))
    }

    #[test]
    fn month_so_far_by_day_is_the_default() {
        let default = UsageRequest { from: day("2026-03-01"), to: day("2026-03-15"), group_by: GroupBy::Day };
        assert_eq!(read(&[]).ok(), Some(default));
        let january = UsageRequest { from: day("2026-01-01"), to: day("2026-01-31"), group_by: GroupBy::User };
        assert_eq!(read(&[("to", "2026-01-31"), ("group_by", "user")]).ok(), Some(january));
    }

    #[test]
    fn days_are_at_most_a_leap_year_and_in_order() {
        assert!(read(&[("from", "2024-01-01"), ("to", "2024-12-31")]).is_ok());
        for refused in [
            &[("from", "2024-01-01"), ("to", "2025-01-01")][..],
            &[("from", "2026-03-16")],
            &[("from", "2026-3-1")],
            &[("to", "today")],
            &[("group_by", "chat")],
            &[("limit", "5")],
        ] {
            assert!(read(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn counts_are_grouped_and_add_up() {
        let request = UsageRequest { from: day("2026-03-01"), to: day("2026-03-15"), group_by: GroupBy::Model };
        let counts = |output| UsageCounts::of_generation(Usage::reported(1, output), true);
        let model = |name: &str| UsageKey::Model(name.to_owned());
        let report =
            UsageReport::of(request, [(model("a"), counts(2)), (model("b"), counts(9)), (model("a"), counts(3))]);
        assert_eq!(
            serde_json::to_value(report).expect("JSON"),
            json!({
                "from": "2026-03-01", "to": "2026-03-15", "group_by": "model",
                "total": { "messages": 3, "generations": 3, "estimated_generations": 0, "input_tokens": 3, "output_tokens": 14 },
                "usage": [
                    { "model": "b", "messages": 1, "generations": 1, "estimated_generations": 0, "input_tokens": 1, "output_tokens": 9 },
                    { "model": "a", "messages": 2, "generations": 2, "estimated_generations": 0, "input_tokens": 2, "output_tokens": 5 },
                ],
            })
        );
    }
}
