//! The limits of a tenant and of a connection: names, defaults, and the errors when they are reached.
//!
//! DynamoDB counts them, since a process is one of many: `storage::rate_limit`, `storage::message_rate_limit` and
//! `storage::connection_slots`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    error::{ApiError, Code},
    id::ChatId,
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
    /// Connects per minute; `None` for the installation's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connects_per_minute: Option<u32>,
    /// Open connections of one chat, at most 1,000; `None` for the installation's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections_per_chat: Option<u32>,
}

/// The limits of connections of an installation, for tenants without their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallationLimits {
    /// Connects per minute.
    pub connects_per_minute: u32,
    /// Open connections of one chat.
    pub connections_per_chat: u32,
}

/// What a connection is checked against when it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections of the tenant.
    pub connections: u32,
    /// Open connections of one chat.
    pub connections_per_chat: u32,
    /// Connects of the tenant per minute.
    pub connects_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rest_per_minute: 100,
            tickets_per_minute: 600,
            connections: 50,
            connects_per_minute: None,
            connections_per_chat: None,
        }
    }
}

impl Limits {
    /// The highest limit of connections, of a tenant and of a chat, that can be set.
    pub const MAX_CONNECTIONS: u32 = 1_000;

    /// The limits of connections: the tenant's own, else the installation's.
    #[must_use]
    pub fn of_connections(&self, installation: InstallationLimits) -> ConnectionLimits {
        ConnectionLimits {
            connections: self.connections,
            connections_per_chat: self.connections_per_chat.unwrap_or(installation.connections_per_chat),
            connects_per_minute: self.connects_per_minute.unwrap_or(installation.connects_per_minute),
        }
    }
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

/// How long a client waits for a connection slot: slots of dead connections are reclaimed with a delay.
const SLOT_WAIT_SECONDS: u32 = 10;

/// The error for a connection beyond the tenant's limit.
#[must_use]
pub fn connection_limit_exceeded(limit: u32) -> ApiError {
    if limit == 0 {
        return no_connections(Code::ConnectionLimitExceeded);
    }
    ApiError::new(
        Code::ConnectionLimitExceeded,
        format!("Your tenant has its {limit} connections open."),
        "Close a connection that is not needed, or ask for a higher limit.",
    )
    .with_detail("limit", limit)
    .with_detail("retry_after_seconds", SLOT_WAIT_SECONDS)
}

/// The error for a connection beyond the limit of its chat.
#[must_use]
pub fn chat_connection_limit_exceeded(limit: u32, chat: &ChatId) -> ApiError {
    if limit == 0 {
        return no_connections(Code::ConnectionLimitExceeded);
    }
    ApiError::new(
        Code::ConnectionLimitExceeded,
        format!("The chat {chat} has its {limit} connections open."),
        "Close a connection of this chat that is not needed, or ask for a higher limit.",
    )
    .with_detail("limit", limit)
    .with_detail("chat_id", chat.as_str())
    .with_detail("retry_after_seconds", SLOT_WAIT_SECONDS)
}

/// The error for a connect beyond the limit of a minute that ends at `ends_at`.
#[must_use]
pub fn connect_rate_exceeded(limit: u32, ends_at: Timestamp, now: Timestamp) -> ApiError {
    if limit == 0 {
        return no_connections(Code::RateLimitExceeded);
    }
    let seconds = ends_at.millis_since(now).div_ceil(1_000).max(1);
    ApiError::new(
        Code::RateLimitExceeded,
        format!("Your tenant has opened its {limit} connections of this minute."),
        format!("Wait {seconds} s, then connect again."),
    )
    .with_detail("limit", limit)
    .with_detail("retry_after_seconds", seconds)
}

/// The error for a tenant whose limit is 0: waiting does not help.
fn no_connections(code: Code) -> ApiError {
    ApiError::new(code, "Your tenant may not open connections.", "Ask the operator of this service for a higher limit.")
        .with_detail("limit", 0)
        .with_retryable(false)
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

    #[test]
    fn limits_of_a_tenant_replace_those_of_the_installation_one_by_one() {
        let installation = InstallationLimits { connects_per_minute: 300, connections_per_chat: 10 };
        let limits = Limits { connections_per_chat: Some(3), ..Limits::default() }.of_connections(installation);
        let expected = ConnectionLimits { connections: 50, connections_per_chat: 3, connects_per_minute: 300 };
        assert_eq!(limits, expected);
    }

    #[test]
    fn wait_for_the_next_minute_of_connects_is_never_zero() {
        let now = Timestamp::from_millis(1_000_000_500);
        let wait = |ends_at| connect_rate_exceeded(300, ends_at, now).detail("retry_after_seconds").cloned();
        assert_eq!((wait(now), wait(now.plus(WINDOW))), (Some(1.into()), Some(60.into())));
    }

    #[test]
    fn limit_of_zero_names_no_wait() {
        let now = Timestamp::from_millis(0);
        let chat = chat_connection_limit_exceeded(0, &ChatId::generate());
        for error in [connect_rate_exceeded(0, now, now), connection_limit_exceeded(0), chat] {
            assert!(!error.retryable() && error.detail("retry_after_seconds").is_none(), "{error}");
        }
    }

    #[test]
    fn full_chat_is_named() {
        let chat = ChatId::generate();
        let error = chat_connection_limit_exceeded(10, &chat);
        assert_eq!(error.detail("chat_id"), Some(&chat.as_str().into()));
        assert!(error.to_string().contains(chat.as_str()), "{error}");
    }
}
