//! Refused frames of a connection: which of them are answered, and when the socket is closed.
//!
//! The connection's item counts them: `refused_count` in a window of 10 s that begins with the frame at `refused_since`,
//! and `refusal_told_at`, when the client was last told. Every refused frame writes these once, so the count is exact
//! although many processes serve one socket. That costs as much as the frame's failed write, at most 100 times before the
//! socket is closed. A client that stays below 10 refused frames a second is not closed.
//!
//! The attributes are absent until a frame is refused.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::item::{Item, number};
use crate::domain::{
    limits::{REFUSAL_NOTICE_INTERVAL, REFUSAL_WINDOW, REFUSED_FRAMES},
    time::Timestamp,
};

const COUNT: &str = "refused_count";
const SINCE: &str = "refused_since";
const TOLD_AT: &str = "refusal_told_at";

/// What becomes of a refused frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client is told; at most once a second.
    Told,
    /// The frame is dropped: the client was told within the last second.
    Dropped,
    /// It is the hundredth refused frame in ten seconds, so the socket is closed.
    Closing,
}

/// The refused frames of a connection, as its item showed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusals {
    since: Timestamp,
    told_at: Timestamp,
}

impl Refusals {
    pub(super) fn of(item: &Item) -> Self {
        Self { since: time(item, SINCE), told_at: time(item, TOLD_AT) }
    }

    /// Counts a frame that is refused now, on the condition that no other frame began a window or told the client since.
    pub(super) fn count(self, update: UpdateItemFluentBuilder, now: Timestamp) -> UpdateItemFluentBuilder {
        let update = update
            .update_expression(self.expression(now))
            .condition_expression(format!("attribute_exists(pk) AND {} AND {}", is(SINCE), is(TOLD_AT)))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(format!(":{SINCE}"), number(self.since.as_millis()))
            .expression_attribute_values(format!(":{TOLD_AT}"), number(self.told_at.as_millis()));
        if self.is_new_window(now) || self.tells(now) {
            update.expression_attribute_values(":now", number(now.as_millis()))
        } else {
            update
        }
    }

    /// What becomes of the frame, by the item after it was counted.
    pub(super) fn outcome(self, counted: &Item, now: Timestamp) -> Refusal {
        if count(counted).is_multiple_of(REFUSED_FRAMES) {
            Refusal::Closing
        } else if self.tells(now) {
            Refusal::Told
        } else {
            Refusal::Dropped
        }
    }

    fn expression(self, now: Timestamp) -> String {
        let tells = if self.tells(now) { format!("{TOLD_AT} = :now") } else { String::new() };
        match (self.is_new_window(now), tells.is_empty()) {
            (true, true) => format!("SET {SINCE} = :now, {COUNT} = :one"),
            (true, false) => format!("SET {SINCE} = :now, {COUNT} = :one, {tells}"),
            (false, true) => format!("ADD {COUNT} :one"),
            (false, false) => format!("ADD {COUNT} :one SET {tells}"),
        }
    }

    fn is_new_window(self, now: Timestamp) -> bool {
        self.since.plus(REFUSAL_WINDOW) <= now
    }

    fn tells(self, now: Timestamp) -> bool {
        self.told_at.plus(REFUSAL_NOTICE_INTERVAL) <= now
    }
}

/// The condition that a time is as it was read.
fn is(attribute: &str) -> String {
    format!("(attribute_not_exists({attribute}) OR {attribute} = :{attribute})")
}

fn time(item: &Item, attribute: &str) -> Timestamp {
    let millis = item.get(attribute).and_then(|value| value.as_n().ok()?.parse().ok());
    Timestamp::from_millis(millis.unwrap_or(0))
}

fn count(item: &Item) -> u32 {
    item.get(COUNT).and_then(|value| value.as_n().ok()?.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_769_851_800_120;

    fn now(after: i64) -> Timestamp {
        Timestamp::from_millis(NOW + after)
    }

    fn refusals(since: i64, told_at: i64) -> Refusals {
        Refusals::of(&Item::from([
            (SINCE.to_owned(), number(NOW + since)),
            (TOLD_AT.to_owned(), number(NOW + told_at)),
        ]))
    }

    fn counted(frames: u32) -> Item {
        Item::from([(COUNT.to_owned(), number(frames))])
    }

    #[test]
    fn first_refused_frame_begins_a_window_and_is_told() {
        let none = Refusals::of(&Item::new());
        let expression = none.expression(now(0));
        assert_eq!(expression, "SET refused_since = :now, refused_count = :one, refusal_told_at = :now");
        assert_eq!(none.outcome(&counted(1), now(0)), Refusal::Told);
    }

    #[test]
    fn further_frames_are_dropped_for_a_second() {
        let refusals = refusals(0, 0);
        assert_eq!(refusals.expression(now(999)), "ADD refused_count :one");
        assert_eq!(refusals.outcome(&counted(2), now(999)), Refusal::Dropped);
        assert_eq!(refusals.expression(now(1_000)), "ADD refused_count :one SET refusal_told_at = :now");
        assert_eq!(refusals.outcome(&counted(3), now(1_000)), Refusal::Told);
        // The clock of this frame is behind.
        assert_eq!(refusals.outcome(&counted(4), now(-500)), Refusal::Dropped);
    }

    #[test]
    fn window_lasts_ten_seconds() {
        let told = |at: i64| refusals(0, at);
        assert_eq!(told(9_500).expression(now(9_999)), "ADD refused_count :one");
        assert_eq!(told(9_500).expression(now(10_000)), "SET refused_since = :now, refused_count = :one");
    }

    #[test]
    fn every_hundredth_refused_frame_closes_the_socket() {
        let outcome = |frames| refusals(0, 0).outcome(&counted(frames), now(500));
        assert_eq!([99, 100, 101].map(outcome), [Refusal::Dropped, Refusal::Closing, Refusal::Dropped]);
        assert_eq!(outcome(200), Refusal::Closing, "the first attempt to close it may have failed");
    }
}
