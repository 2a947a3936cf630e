//! The headers that tell a client how much of its rate limit is left.

use std::time::Duration;

use http::HeaderValue;

use crate::domain::{
    limits::{RateLimitBucket, RateLimitStatus, WINDOW},
    time::Timestamp,
};

/// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` (epoch seconds), and `RateLimit-Policy` and
/// `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-10.
pub(super) fn rate_limit_headers(status: &RateLimitStatus, now: Timestamp) -> [(&'static str, HeaderValue); 5] {
    let policy = match status.bucket {
        RateLimitBucket::Rest => "rest",
        RateLimitBucket::Tickets => "tickets",
    };
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let reset_second = status.ends_at.plus(Duration::from_millis(999)).as_seconds();
    [
        ("x-ratelimit-limit", status.limit.into()),
        ("x-ratelimit-remaining", status.remaining.into()),
        ("x-ratelimit-reset", reset_second.into()),
        ("ratelimit-policy", text(format!("\"{policy}\";q={};w={}", status.limit, WINDOW.as_secs()))),
        ("ratelimit", text(format!("\"{policy}\";r={};t={}", status.remaining, status.seconds_left(now)))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_header_families_agree() {
        let now = Timestamp::from_millis(1_000_000_500);
        let ends_at = Timestamp::from_millis(1_000_041_501);
        let status = RateLimitStatus { bucket: RateLimitBucket::Rest, limit: 100, remaining: 7, ends_at };
        let headers =
            rate_limit_headers(&status, now).map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")));
        assert_eq!(
            headers,
            [
                "x-ratelimit-limit: 100",
                "x-ratelimit-remaining: 7",
                "x-ratelimit-reset: 1000042",
                "ratelimit-policy: \"rest\";q=100;w=60",
                "ratelimit: \"rest\";r=7;t=42",
            ]
        );
    }
}
