//! The limits of a tenant and of a connection: names, defaults, and the errors when they are reached.
//!
//! DynamoDB counts them, since a process is one of many: `storage::rate_limit`, `storage::message_rate_limit` and
//! `storage::connection_slots`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    error::{ApiError, Code},
    time::Timestamp,
};

/// How long a rate limit window lasts. It begins with its first request.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How many frames a connection may send in any [`FRAME_WINDOW`].
pub const FRAMES: usize = 10;

/// The sliding window of [`FRAMES`].
pub const FRAME_WINDOW: Duration = Duration::from_secs(1);

/// A connection is closed when this many of its frames are refused within [`REFUSAL_WINDOW`].
pub const REFUSED_FRAMES: u32 = 100;

/// The window of [`REFUSED_FRAMES`]. It begins with a refused frame.
pub const REFUSAL_WINDOW: Duration = Duration::from_secs(10);

/// How often a connection is told that its frames are refused.
pub const REFUSAL_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// The limits of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// REST requests per minute.
    pub rest_per_minute: u32,
    /// Tickets per minute. A separate limit: reconnecting browsers must not use up the other one.
    pub tickets_per_minute: u32,
    /// Open connections, at most 1,000.
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rest_per_minute: 100, tickets_per_minute: 600, connections: 50 }
    }
}

impl Limits {
    /// The highest limit of connections that can be set.
    pub const MAX_CONNECTIONS: u32 = 1_000;
}

/// The rate limit that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitBucket {
    /// All REST requests except those for tickets.
    Rest,
    /// Requests for tickets.
    Tickets,
}

/// How much of a rate limit window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// The rate limit.
    pub bucket: RateLimitBucket,
    /// Requests per window.
    pub limit: u32,
    /// Requests left in the window.
    pub remaining: u32,
    /// When the window ends.
    pub ends_at: Timestamp,
}

impl RateLimitStatus {
    /// Whether the window takes no further request.
    #[must_use]
    pub fn is_used_up(&self, now: Timestamp) -> bool {
        self.limit == 0 || (self.remaining == 0 && self.ends_at > now)
    }

    /// The error for a request beyond the limit.
    #[must_use]
    pub fn exceeded(&self, now: Timestamp) -> ApiError {
        let seconds = self.seconds_left(now).max(1);
        ApiError::new(
            Code::RateLimitExceeded,
            format!("Your tenant has made its {} requests of this minute.", self.limit),
            format!("Wait {seconds} s, as Retry-After says, then try again."),
        )
        .with_detail("limit", self.limit)
        .with_detail("retry_after_seconds", seconds)
    }

    /// Seconds until the window ends, rounded up.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.ends_at.millis_since(now).div_ceil(1_000)
    }
}

/// The error for a connection beyond the limit. It suggests a wait, since slots of dead connections are reclaimed with a
/// delay.
#[must_use]
pub fn connection_limit_exceeded(limit: u32) -> ApiError {
    const SECONDS: u32 = 10;
    ApiError::new(
        Code::ConnectionLimitExceeded,
        format!("Your tenant has its {limit} connections open."),
        "Close a connection that is not needed, or ask for a higher limit.",
    )
    .with_detail("limit", limit)
    .with_detail("retry_after_seconds", SECONDS)
}

/// The error for a frame beyond 10 per second. The connection stays open.
#[must_use]
pub fn frame_rate_exceeded() -> ApiError {
    ApiError::new(
        Code::RateLimitExceeded,
        format!("This connection has sent {FRAMES} messages within a second."),
        "Wait a second, then send the message again; it was not read.",
    )
    .with_detail("limit", FRAMES)
    .with_detail("retry_after_seconds", 1)
}

/// The error for a command whose answer would be sent again while the connection is being sent another one.
#[must_use]
pub fn replay_in_progress() -> ApiError {
    ApiError::new(
        Code::RateLimitExceeded,
        "This connection is being sent another answer that has ended.",
        "Wait for that answer's message_stream_ended, then send the command again.",
    )
    .with_detail("retry_after_seconds", 1)
}

/// The error for a connection that goes on sending frames beyond its limit, before it is closed.
#[must_use]
pub fn refused_frames_exceeded() -> ApiError {
    let seconds = REFUSAL_WINDOW.as_secs();
    ApiError::new(
        Code::ConnectionClosing,
        format!("{REFUSED_FRAMES} messages of this connection were refused within {seconds} s."),
        format!("Connect again, and send at most {FRAMES} messages a second."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_never_zero() {
        let now = Timestamp::from_millis(1_000_000_500);
        let status = RateLimitStatus { bucket: RateLimitBucket::Rest, limit: 100, remaining: 0, ends_at: now };
        assert_eq!(status.exceeded(now).detail("retry_after_seconds"), Some(&1.into()));
    }
}
