//! The rate limit of a connection: at most ten messages in any second.
//!
//! The connection's item holds the times of its last ten messages, `message_at_1` (the newest) to `message_at_10`, in
//! milliseconds. A message is accepted if the tenth is a second old; the same update shifts the times. This is an exact
//! sliding window in one write. If a response is lost, the SDK writes again and the message counts twice: nine may
//! pass in that second, never eleven.
//!
//! The times come from the clocks of API Gateway's hosts, so one may be earlier than the one stored before it. That
//! cannot widen the window: the times are consulted in the order in which they were stored, so each waits until those
//! before it are a second old, as if none were earlier than the one before it.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::item::{Item, number};
use crate::domain::{
    limits::{FRAME_WINDOW, FRAMES},
    time::Timestamp,
};

/// The window of a connection that has sent nothing.
pub(super) fn unused_window() -> Item {
    (1..=FRAMES).map(|place| (attribute(place), number(0))).collect()
}

/// Counts a message that comes now, on the condition that it fits into the window.
pub(super) fn count_message(update: UpdateItemFluentBuilder, now: Timestamp) -> UpdateItemFluentBuilder {
    update
        .update_expression(shift())
        .condition_expression(format!("{} <= :window_start", attribute(FRAMES)))
        .expression_attribute_values(":now", number(now.as_millis()))
        .expression_attribute_values(":window_start", number(now.minus(FRAME_WINDOW).as_millis()))
}

fn shift() -> String {
    let shifted: Vec<String> =
        (2..=FRAMES).map(|place| format!("{} = {}", attribute(place), attribute(place - 1))).collect();
    format!("SET {} = :now, {}", attribute(1), shifted.join(", "))
}

fn attribute(place: usize) -> String {
    format!("message_at_{place}")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn new_time_comes_first_and_the_others_move_on_by_one() {
        let shift = shift();
        assert!(shift.starts_with("SET message_at_1 = :now, message_at_2 = message_at_1, "), "{shift}");
        assert!(shift.ends_with(", message_at_10 = message_at_9"), "{shift}");
    }

    /// Whether a frame at this time is accepted, as the conditional update decides it.
    fn accepts(window: &mut VecDeque<i64>, now: i64) -> bool {
        let fits = window[FRAMES - 1] <= now - 1_000;
        if fits {
            window.pop_back();
            window.push_front(now);
        }
        fits
    }

    #[test]
    fn clock_that_goes_back_does_not_widen_the_window() {
        for back in [1, 10, 500, 999, 1_000, 5_000] {
            let mut window = VecDeque::from([0; FRAMES]);
            let mut accepted: Vec<i64> = Vec::new();
            for frame in 0..5_000_i64 {
                let time = 1_000_000 + frame * 3 - if frame % 7 < 3 { back } else { 0 };
                if accepts(&mut window, time) {
                    let newest = accepted.last().copied().unwrap_or_default();
                    accepted.push(time.max(newest));
                }
            }
            assert!(accepted.windows(FRAMES + 1).all(|eleven| eleven[FRAMES] - eleven[0] >= 1_000), "{back}");
            assert!(accepted.len() > 100, "{back}: {}", accepted.len());
        }
    }

    #[test]
    fn unused_window_accepts_ten_messages() {
        let window = unused_window();
        assert_eq!(window.len(), 10);
        assert!(window.values().all(|time| *time == number(0)));
    }
}
