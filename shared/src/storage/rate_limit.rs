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
    ends_at: &'static str,
    limit: &'static str,
}

impl WindowAttributes {
    pub(super) fn of(bucket: RateLimitBucket) -> Self {
        match bucket {
            RateLimitBucket::Rest => Self { count: "rest_count", ends_at: "rest_ends_at", limit: "rest_per_minute" },
            RateLimitBucket::Tickets => {
                Self { count: "tickets_count", ends_at: "tickets_ends_at", limit: "tickets_per_minute" }
            }
        }
    }

    /// Counts a request into the current window, if `condition` holds and the limit is not reached. `:now` is a value of
    /// the update already.
    pub(super) fn count(self, update: UpdateItemFluentBuilder, condition: &str) -> UpdateItemFluentBuilder {
        update
            .update_expression("ADD #count :one")
            .condition_expression(format!("{condition} AND #ends_at > :now AND #count < limits.#limit"))
            .expression_attribute_names("#count", self.count)
            .expression_attribute_names("#ends_at", self.ends_at)
            .expression_attribute_names("#limit", self.limit)
            .expression_attribute_values(":one", number(1))
    }

    /// Starts the window after the window that `ended_at` that time, if `condition` holds and no other request has. That one
    /// request is counted.
    pub(super) fn start(
        self,
        update: UpdateItemFluentBuilder,
        condition: &str,
        ended_at: Timestamp,
        now: Timestamp,
    ) -> UpdateItemFluentBuilder {
        update
            .update_expression("SET #count = :one, #ends_at = :ends_at")
            .condition_expression(format!("{condition} AND #ends_at = :ended_at"))
            .expression_attribute_names("#count", self.count)
            .expression_attribute_names("#ends_at", self.ends_at)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":ends_at", text(now.plus(WINDOW)))
            .expression_attribute_values(":ended_at", text(ended_at))
    }
}
