//! Failed posts, and how long they are retried.

use std::{error::Error as StdError, time::Duration};

use aws_sdk_apigatewaymanagement::{error::SdkError, operation::post_to_connection::PostToConnectionError};
use tokio::time::{Instant, sleep, timeout_at};

use crate::runtime::{retry::Backoff, telemetry};

/// The pauses between posts to one socket.
const POST_BACKOFF: Backoff = Backoff::half_jitter(Duration::from_millis(20), Duration::from_secs(1));

/// How long a running generation retries posts to a socket.
const LONG: Duration = Duration::from_secs(30);

/// How long posts are retried before a socket is closed.
const SHORT: Duration = Duration::from_secs(1);

/// How long posts are retried that reply to a frame. A socket may send ten frames a second, so ten times this is how many
/// processes a client that does not read can hold.
const REPLY: Duration = Duration::from_millis(250);

/// A post that did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The socket is closed, or not open yet.
    #[error("the socket is gone")]
    Gone,
    /// API Gateway did not accept the post.
    #[error("failed to post to a socket")]
    Failed(#[source] Box<dyn StdError + Send + Sync>),
}

/// The retries of one socket: for half a minute, counted from the beginning of its first failed attempt.
#[derive(Debug)]
pub struct PostRetry {
    time: Duration,
    failures: u32,
    failing_since: Option<Instant>,
    /// The cause that is told if the last attempt is cut off.
    last_failure: Option<PostError>,
}

impl Default for PostRetry {
    fn default() -> Self {
        Self::lasting(LONG)
    }
}

impl PostRetry {
    /// Retries for this time. No attempt lasts longer.
    #[must_use]
    pub fn lasting(time: Duration) -> Self {
        Self { time, failures: 0, failing_since: None, last_failure: None }
    }

    /// Retries for one second: a client that reads slowly, or not at all, must not hold a process for longer.
    pub(super) fn one_second() -> Self {
        Self::lasting(SHORT)
    }

    /// Retries for a quarter of a second.
    pub(super) fn of_reply() -> Self {
        Self::lasting(REPLY)
    }

    /// Makes one attempt.
    ///
    /// # Errors
    ///
    /// Its failure; when it is cut off because the time has passed, that of the attempt before it.
    pub async fn attempt(&mut self, post: impl Future<Output = Result<(), PostError>>) -> Result<(), PostError> {
        let started = Instant::now();
        let end = self.failing_since.unwrap_or(started) + self.time;
        let result = timeout_at(end, post).await.unwrap_or_else(|elapsed| {
            Err(self.last_failure.take().unwrap_or_else(|| PostError::Failed(elapsed.into())))
        });
        if result.is_err() {
            self.failing_since.get_or_insert(started);
        }
        result
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    ///
    /// The failure itself: at once when the socket is gone, otherwise when the time has passed.
    pub async fn wait(&mut self, failure: PostError) -> Result<(), PostError> {
        let end = *self.failing_since.get_or_insert_with(Instant::now) + self.time;
        let left = end.saturating_duration_since(Instant::now());
        if matches!(failure, PostError::Gone) || left.is_zero() {
            return Err(failure);
        }
        let retry = self.failures;
        self.failures += 1;
        telemetry::count_retried_post();
        self.last_failure = Some(failure);
        sleep(POST_BACKOFF.pause(retry).min(left)).await;
        Ok(())
    }

    /// Posts until it succeeds.
    ///
    /// # Errors
    ///
    /// The last failure, as [`wait`](Self::wait) returns it.
    pub async fn repeat<F>(mut self, mut post: impl FnMut() -> F) -> Result<(), PostError>
    where
        F: Future<Output = Result<(), PostError>>,
    {
        loop {
            match self.attempt(post()).await {
                Ok(()) => return Ok(()),
                Err(failure) => self.wait(failure).await?,
            }
        }
    }
}

impl<R> From<SdkError<PostToConnectionError, R>> for PostError
where
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<PostToConnectionError, R>) -> Self {
        match error.as_service_error() {
            Some(PostToConnectionError::GoneException(_)) => Self::Gone,
            _ => Self::Failed(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn attempts(retry: PostRetry, failures: usize, failure: fn() -> PostError) -> (usize, bool) {
        let mut made = 0;
        let result = retry
            .repeat(|| {
                made += 1;
                let result = if made > failures { Ok(()) } else { Err(failure()) };
                async move { result }
            })
            .await;
        (made, result.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn failed_post_is_retried_for_half_a_minute_with_pauses_up_to_a_second() {
        let throttled = || PostError::Failed("throttled".into());
        assert_eq!(attempts(PostRetry::default(), 3, throttled).await, (4, true));
        let started = Instant::now();
        let (made, succeeded) = attempts(PostRetry::default(), usize::MAX, throttled).await;
        assert!(!succeeded && (35..=70).contains(&made), "{made}");
        assert_eq!(started.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn short_retries_end_in_time() {
        for (retry, millis) in [(PostRetry::one_second(), 1_000), (PostRetry::of_reply(), 250)] {
            let started = Instant::now();
            let (_, succeeded) = attempts(retry, usize::MAX, || PostError::Failed("slow".into())).await;
            assert_eq!((succeeded, started.elapsed()), (false, Duration::from_millis(millis)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempt_of_a_slow_client_is_cut_off() {
        let started = Instant::now();
        let result = PostRetry::one_second().repeat(std::future::pending).await;
        assert!(matches!(result, Err(PostError::Failed(_))));
        assert_eq!(started.elapsed(), Duration::from_secs(1));

        let mut retry = PostRetry::one_second();
        let slow = async |millis| {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Err(PostError::Failed("slow".into()))
        };
        let started = Instant::now();
        let failure = retry.attempt(slow(700)).await.expect_err("it fails");
        retry.wait(failure).await.expect("time is left");
        let failure = retry.attempt(slow(700)).await.expect_err("it fails");
        assert!(retry.wait(failure).await.is_err(), "the pauses and all attempts count");
        assert_eq!(started.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn cause_of_the_last_whole_attempt_is_kept() {
        let mut made = 0;
        let posts =
            PostRetry::one_second().repeat(|| {
                made += 1;
                let is_first = made == 1;
                async move {
                    if is_first { Err(PostError::Failed("throttled".into())) } else { std::future::pending().await }
                }
            });
        let Err(PostError::Failed(cause)) = posts.await else { panic!("no failure") };
        assert_eq!(cause.to_string(), "throttled");
    }

    #[tokio::test(start_paused = true)]
    async fn gone_socket_is_not_retried() {
        assert_eq!(attempts(PostRetry::default(), 1, || PostError::Gone).await, (1, false));
    }
}
