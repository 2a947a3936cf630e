//! The limits of a tenant and of a connection: what each is called, what it is by default, what is said when it is
//! reached. They are counted in the tables, since a process is one of many.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    error::{ApiError, Code},
    time::Timestamp,
};

/// How long a window of requests lasts. It begins with its first request.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How many messages a connection may send in any [`FRAME_WINDOW`].
pub const FRAMES: usize = 10;

/// The time that no more than [`FRAMES`] messages of a connection may fall into.
pub const FRAME_WINDOW: Duration = Duration::from_secs(1);

/// What a tenant may do: its own figures, or the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// REST requests a minute.
    pub rest_per_minute: u32,
    /// Tickets a minute. They have a limit of their own, so that browsers that come back do not use up the other.
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
    /// The most connections that a tenant may be given.
    pub const MAX_CONNECTIONS: u32 = 1_000;
}

/// Which window a request counts into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitBucket {
    /// All REST requests but those for tickets.
    Rest,
    /// Requests for tickets.
    Tickets,
}

/// How much of a window is left, as an answer's headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Which window.
    pub bucket: RateLimitBucket,
    /// How many requests it takes.
    pub limit: u32,
    /// How many are left.
    pub remaining: u32,
    /// When the next window may begin.
    pub resets_at: Timestamp,
}

impl RateLimitStatus {
    /// Whether no further request fits in before the next window begins.
    #[must_use]
    pub fn is_used_up(&self, now: Timestamp) -> bool {
        self.limit == 0 || (self.remaining == 0 && self.resets_at > now)
    }

    /// The error for a request that does not fit into its window any more.
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
        .with_header(http::header::RETRY_AFTER, seconds.into())
    }

    /// The seconds until the next window, rounded up: after them it has begun.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.resets_at.millis_since(now).div_ceil(1_000)
    }

    /// The second, since 1970, from which on the next window may begin.
    #[must_use]
    pub fn reset_second(&self) -> i64 {
        self.resets_at.plus(Duration::from_millis(999)).as_seconds()
    }
}

/// The error for a connection that would be one too many. The lease of a connection that was lost may take a while to
/// be found, hence the wait.
#[must_use]
pub fn too_many_connections(limit: u32) -> ApiError {
    const SECONDS: u32 = 10;
    ApiError::new(
        Code::ConnectionLimitExceeded,
        format!("Your tenant has its {limit} connections open."),
        "Close a connection that is not needed, or ask for a higher limit.",
    )
    .with_detail("limit", limit)
    .with_detail("retry_after_seconds", SECONDS)
    .with_header(http::header::RETRY_AFTER, SECONDS.into())
}

/// The error for a message that came too soon after others. The socket stays open.
#[must_use]
pub fn too_many_frames() -> ApiError {
    ApiError::new(
        Code::RateLimitExceeded,
        format!("This connection has sent {FRAMES} messages within a second."),
        "Wait a second, then send the message again; it was not read.",
    )
    .with_detail("limit", FRAMES)
    .with_detail("retry_after_seconds", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_limit(resets_in_ms: i64) -> (RateLimitStatus, Timestamp) {
        let now = Timestamp::from_millis(1_000_000_500);
        let resets_at = Timestamp::from_millis(1_000_000_500 + resets_in_ms);
        (RateLimitStatus { bucket: RateLimitBucket::Rest, limit: 100, remaining: 7, resets_at }, now)
    }

    #[test]
    fn retry_after_is_never_zero() {
        let (rate_limit, now) = rate_limit(0);
        let error = rate_limit.exceeded(now);
        assert_eq!(error.header().map(|(_, value)| value.clone()), Some(http::HeaderValue::from(1)));
    }
}
