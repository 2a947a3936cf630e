//! The rate limit of a connection: at most ten messages in any second.
//!
//! The connection's item holds the times of its last ten messages, `message_at_1` (the newest) to `message_at_10`, in
//! milliseconds. A message is accepted if the tenth is a second old; the same update shifts the times. This is an exact
//! sliding window in one write. If a response is lost, the SDK writes again and the message counts twice: nine may
//! pass in that second, never eleven.

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
    use super::*;

    #[test]
    fn new_time_comes_first_and_the_others_move_on_by_one() {
        let shift = shift();
        assert!(shift.starts_with("SET message_at_1 = :now, message_at_2 = message_at_1, "), "{shift}");
        assert!(shift.ends_with(", message_at_10 = message_at_9"), "{shift}");
    }

    #[test]
    fn unused_window_accepts_ten_messages() {
        let window = unused_window();
        assert_eq!(window.len(), 10);
        assert!(window.values().all(|time| *time == number(0)));
    }
}
