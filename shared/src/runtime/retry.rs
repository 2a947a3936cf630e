//! Backoff, and retries of work that runs after the response.
//!
//! The SDK makes three attempts with pauses of up to 1 s and 2 s, because a caller waits. After the response no caller waits
//! and no other process does the work, so [`retry_for`] goes on.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

use crate::domain::error::{ApiError, Code};

/// The pauses of [`retry_for`].
const RETRY_BACKOFF: Backoff = Backoff::half_jitter(Duration::from_millis(100), Duration::from_secs(5));

/// Exponential backoff: each pause is twice the one before, up to a cap, and random within the jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    /// The smallest part of a pause that is waited; the rest is random.
    least: f64,
}

impl Backoff {
    /// Pauses without jitter, where only one process retries.
    #[must_use]
    pub const fn exact(first: Duration, cap: Duration) -> Self {
        Self { first, cap, least: 1.0 }
    }

    /// Random pauses between half and all of each step.
    #[must_use]
    pub const fn half_jitter(first: Duration, cap: Duration) -> Self {
        Self { first, cap, least: 0.5 }
    }

    /// Random pauses between nothing and all of each step: processes that failed together come back apart.
    #[must_use]
    pub const fn full_jitter(first: Duration, cap: Duration) -> Self {
        Self { first, cap, least: 0.0 }
    }

    /// The pause before a retry; `retry` counts from 0.
    #[must_use]
    pub fn pause(self, retry: u32) -> Duration {
        let step = self.first.saturating_mul(2_u32.saturating_pow(retry)).min(self.cap);
        step.mul_f64(self.least + (1.0 - self.least) * rand::random::<f64>())
    }

    /// Waits before a retry; `retry` counts from 0.
    pub async fn wait(self, retry: u32) {
        sleep(self.pause(retry)).await;
    }
}

/// Repeats an attempt for as long as it fails with `UNAVAILABLE` and `time` has not passed. An attempt must be safe to
/// repeat after any part of it has been done.
///
/// # Errors
///
/// That of the last attempt.
pub async fn retry_for<T, F>(time: Duration, mut attempt: impl FnMut() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let end = Instant::now() + time;
    let mut retry = 0;
    loop {
        match attempt().await {
            Err(error) if error.code() == Code::Unavailable && Instant::now() < end => {}
            result => return result,
        }
        RETRY_BACKOFF.wait(retry).await;
        retry += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const MILLI: Duration = Duration::from_millis(1);

    /// Makes an attempt that fails `failures` times. Returns the number of attempts, and whether the last succeeded.
    async fn attempts(failures: usize, error: fn() -> ApiError) -> (usize, bool) {
        let mut made = 0;
        let result = retry_for(MINUTE, || {
            made += 1;
            let result = if made > failures { Ok(()) } else { Err(error()) };
            async move { result }
        })
        .await;
        (made, result.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn unavailable_is_retried_until_the_time_has_passed() {
        let unavailable = || ApiError::unavailable("away");
        assert_eq!(attempts(0, unavailable).await, (1, true));
        assert_eq!(attempts(7, unavailable).await, (8, true));
        let started = Instant::now();
        let (made, succeeded) = attempts(usize::MAX, unavailable).await;
        assert!(!succeeded && (10..40).contains(&made), "{made}");
        let longest = MINUTE + Duration::from_secs(5);
        assert!((MINUTE..longest).contains(&started.elapsed()), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn other_errors_are_not_retried() {
        assert_eq!(attempts(1, || ApiError::internal("a mistake")).await, (1, false));
        assert_eq!(attempts(1, || ApiError::chat_not_found("chat_x")).await, (1, false));
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let backoff = Backoff::exact(MILLI * 5, MILLI * 30);
        let pauses: Vec<_> = (0..5).map(|retry| backoff.pause(retry).as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 30, 30]);
        assert_eq!(backoff.pause(u32::MAX), MILLI * 30, "no overflow");
    }

    #[test]
    fn jitter_stays_within_its_range() {
        let (half, full) = (Backoff::half_jitter(MILLI * 100, MINUTE), Backoff::full_jitter(MILLI * 100, MINUTE));
        for _ in 0..1_000 {
            assert!((MILLI * 100..=MILLI * 200).contains(&half.pause(1)));
            assert!((Duration::ZERO..=MILLI * 200).contains(&full.pause(1)));
        }
    }
}
