//! The headers that say how much of a rate limit window is left.

use http::{HeaderName, HeaderValue};

use crate::domain::{
    limits::{RateLimitBucket, RateLimitStatus, WINDOW},
    time::Timestamp,
};

/// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` (seconds since 1970), and `RateLimit-Policy` and
/// `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-10.
pub(super) fn rate_limit_headers(status: &RateLimitStatus, now: Timestamp) -> [(HeaderName, HeaderValue); 5] {
    let RateLimitStatus { bucket, limit, remaining, .. } = status;
    let bucket = match bucket {
        RateLimitBucket::Rest => "rest",
        RateLimitBucket::Tickets => "tickets",
    };
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let (window, seconds_left) = (WINDOW.as_secs(), status.seconds_left(now));
    [
        (HeaderName::from_static("x-ratelimit-limit"), (*limit).into()),
        (HeaderName::from_static("x-ratelimit-remaining"), (*remaining).into()),
        (HeaderName::from_static("x-ratelimit-reset"), status.reset_second().into()),
        (HeaderName::from_static("ratelimit-policy"), text(format!("\"{bucket}\";q={limit};w={window}"))),
        (HeaderName::from_static("ratelimit"), text(format!("\"{bucket}\";r={remaining};t={seconds_left}"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_of_headers_agree() {
        let now = Timestamp::from_millis(1_000_000_500);
        let resets_at = Timestamp::from_millis(1_000_000_500 + 41_001);
        let status = RateLimitStatus { bucket: RateLimitBucket::Rest, limit: 100, remaining: 7, resets_at };
        let headers = rate_limit_headers(&status, now);
        assert_eq!(
            headers.map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))),
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
