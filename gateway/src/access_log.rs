//! Access log: one tracing event a request, without query string, headers and body.

use std::time::Instant;

/// Target of the tracing events.
pub(crate) const TARGET: &str = "gateway";

pub(crate) fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
