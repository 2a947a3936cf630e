//! Trying again what DynamoDB could not do a moment ago.
//!
//! The SDK tries a call three times within a second or two, since a caller waits. After the answer nobody waits, and
//! nobody else would do the work: there is time for more.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

use crate::domain::error::{ApiError, Code};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Makes an attempt again and again, with longer and longer pauses, for as long as it ends in `UNAVAILABLE` and the time
/// is not over. What it has done before it failed, it does again.
///
/// # Errors
///
/// Those of the last attempt.
pub async fn retry_for<T, F>(time: Duration, mut attempt: impl FnMut() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let end = Instant::now() + time;
    let mut pause = SHORTEST_PAUSE;
    loop {
        match attempt().await {
            Err(error) if error.code() == Code::Unavailable && Instant::now() < end => {}
            result => return result,
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// How often an attempt is made that fails so many times, and whether it came to something.
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
    async fn what_is_unavailable_is_tried_again_until_the_time_is_over() {
        let unavailable = || ApiError::unavailable("away");
        assert_eq!(attempts(0, unavailable).await, (1, true));
        assert_eq!(attempts(7, unavailable).await, (8, true));
        let began = Instant::now();
        let (made, succeeded) = attempts(usize::MAX, unavailable).await;
        assert!(!succeeded && (10..40).contains(&made), "{made}");
        assert!((MINUTE..MINUTE + LONGEST_PAUSE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_trying_does_not_help_is_not_tried_again() {
        assert_eq!(attempts(1, || ApiError::internal("a mistake")).await, (1, false));
        assert_eq!(attempts(1, || ApiError::chat_not_found("chat_x")).await, (1, false));
    }
}
