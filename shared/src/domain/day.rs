//! Days and months in UTC, as usage is counted and quotas are renewed.

use std::{fmt, str::FromStr};

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// A day in UTC, written `2026-01-31`. Days sort as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("format" = "date", "pattern" = r"^\d{4}-\d{2}-\d{2}$")))]
pub struct Day(#[cfg_attr(feature = "schema", schemars(with = "String"))] Date);

impl Day {
    /// The day of a time.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self(TimeZone::UTC.to_datetime(time.to_jiff()).date())
    }

    /// The first day of this day's month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.first_of_month())
    }

    /// The day `days` later; the last that there is when out of range.
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(i64::from(days).days()))
    }

    /// The day `days` earlier; the first that there is when out of range.
    #[must_use]
    pub fn minus(self, days: u32) -> Self {
        Self(self.0.saturating_sub(i64::from(days).days()))
    }

    /// How many days lie between an earlier day and this one; negative when it is later.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i32 {
        (self.0 - earlier.0).get_days()
    }

    /// When the next day begins.
    #[must_use]
    pub fn end(self) -> Timestamp {
        self.plus(1).start()
    }

    /// When the next month begins.
    #[must_use]
    pub fn end_of_month(self) -> Timestamp {
        Self(self.0.last_of_month()).end()
    }

    fn start(self) -> Timestamp {
        let start = self.0.to_zoned(TimeZone::UTC).map(|start| start.timestamp().as_millisecond());
        Timestamp::from_millis(start.unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

/// A text that is no day.
#[derive(Debug, thiserror::Error)]
#[error("not a day like 2026-01-31")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // jiff also reads other forms, which do not sort as text.
        let day = text.parse().map(Self).map_err(|_| NotADay)?;
        if day.to_string() == text { Ok(day) } else { Err(NotADay) }
    }
}

impl TryFrom<String> for Day {
    type Error = NotADay;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().expect("a day")
    }

    #[test]
    fn day_of_a_time_is_that_in_utc() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert_eq!(Day::of(time("2026-02-28T23:59:59.999Z")), day("2026-02-28"));
        assert_eq!(day("2026-02-28").end(), time("2026-03-01T00:00:00.000Z"));
        assert_eq!(day("2026-12-05").end_of_month(), time("2027-01-01T00:00:00.000Z"));
        assert_eq!(day("2026-12-05").first_of_month(), day("2026-12-01"));
        assert_eq!(
            (day("2026-03-01").days_since(day("2026-02-01")), day("2026-02-28").plus(1)),
            (28, day("2026-03-01"))
        );
    }

    #[test]
    fn only_the_form_that_sorts_as_text_is_a_day() {
        for text in ["", "2026-2-1", "20260201", "2026-02-30", "2026-02-01T00:00:00Z", "+002026-02-01"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(day("2026-02-01").to_string(), "2026-02-01");
    }
}
