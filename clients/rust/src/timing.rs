//! Pauses. Times are those of [`tokio::time::Instant`], which does not count while a Linux or macOS machine sleeps.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// The pause before attempt number `attempt` + 1: it doubles up to 10 s, and is random from half of it on.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let full = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
    full.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_up_to_ten_seconds() {
        for (attempt, longest_ms) in [(1, 500), (2, 1_000), (5, 8_000), (6, 10_000), (u32::MAX, 10_000)] {
            let longest = Duration::from_millis(longest_ms);
            let pause = backoff(attempt);
            assert!((longest / 2..=longest).contains(&pause), "{attempt}: {pause:?}");
        }
    }
}
