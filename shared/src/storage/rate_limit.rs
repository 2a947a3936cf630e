//! The rate limit windows of a tenant: one for REST requests, one for tickets.
//!
//! A window starts with its first request and lasts a minute. Its counter and its end are attributes of the tenant's
//! access item.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::item::{number, text};
use crate::domain::{
    limits::{RateLimitBucket, WINDOW},
    time::Timestamp,
};

/// The attributes of a bucket's window.
#[derive(Clone, Copy)]
pub(super) struct WindowAttributes {
    count: &'static str,
    resets_at: &'static str,
    limit: &'static str,
}

impl WindowAttributes {
    pub(super) fn of(bucket: RateLimitBucket) -> Self {
        match bucket {
            RateLimitBucket::Rest => {
                Self { count: "rest_count", resets_at: "rest_resets_at", limit: "rest_per_minute" }
            }
            RateLimitBucket::Tickets => {
                Self { count: "tickets_count", resets_at: "tickets_resets_at", limit: "tickets_per_minute" }
            }
        }
    }

    /// Counts a request into the current window, if `condition` holds and the limit is not reached. `:now` is a value of
    /// the update already.
    pub(super) fn count(self, update: UpdateItemFluentBuilder, condition: &str) -> UpdateItemFluentBuilder {
        update
            .update_expression("ADD #count :one")
            .condition_expression(format!("{condition} AND #resets_at > :now AND #count < limits.#limit"))
            .expression_attribute_names("#count", self.count)
            .expression_attribute_names("#resets_at", self.resets_at)
            .expression_attribute_names("#limit", self.limit)
            .expression_attribute_values(":one", number(1))
    }

    /// Starts the window after the one that `ended_at` that time, if `condition` holds and no other request has. That one
    /// request is counted.
    pub(super) fn start(
        self,
        update: UpdateItemFluentBuilder,
        condition: &str,
        ended_at: Timestamp,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        update
            .update_expression("SET #count = :one, #resets_at = :resets_at")
            .condition_expression(format!("{condition} AND #resets_at = :ended_at"))
            .expression_attribute_names("#count", self.count)
            .expression_attribute_names("#resets_at", self.resets_at)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":resets_at", text(now.plus(WINDOW)))
            .expression_attribute_values(":ended_at", text(ended_at))
    }
}
