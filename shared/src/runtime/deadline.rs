//! The deadline of a response.
//!
//! A request may make several calls, each of them slow or retried, and together they may take longer than the caller
//! waits. API Gateway gives up after 29 s, and Lambda kills a function at its `Timeout`; both then return an error of their
//! own. So all work before a response has one deadline.

use std::{future::Future, time::Duration};

use crate::domain::error::ApiError;

/// How long a request may take until its response: 1 s less than the shortest `Timeout` in the template, which leaves time
/// to send it.
pub const RESPONSE_DEADLINE: Duration = Duration::from_secs(9);

/// The deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("no response within {} s", .0.as_secs())]
struct DeadlineExceeded(Duration);

/// Runs a handler until the [`RESPONSE_DEADLINE`].
///
/// A handler that takes longer is dropped where it stands, as if the process had died there; a write in flight may still
/// be carried out. Handlers are safe under both. Work after the response is not dropped.
///
/// # Errors
///
/// The handler's own, and `UNAVAILABLE` when the deadline passes.
pub async fn within_deadline<T>(handler: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    within(RESPONSE_DEADLINE, handler).await
}

/// As [`within_deadline`], with another deadline.
///
/// # Errors
///
/// The handler's own, and `UNAVAILABLE` when `time` has passed.
pub async fn within<T>(time: Duration, handler: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let result = tokio::time::timeout(time, handler).await;
    result.unwrap_or_else(|_| Err(ApiError::unavailable(DeadlineExceeded(time))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::error::Code, runtime::telemetry};

    #[tokio::test(start_paused = true)]
    async fn handler_past_the_deadline_is_unavailable() {
        let takes = |time: Duration| {
            within_deadline(async move {
                tokio::time::sleep(time).await;
                Ok(())
            })
        };
        assert!(takes(RESPONSE_DEADLINE - Duration::from_millis(1)).await.is_ok());
        let error = takes(RESPONSE_DEADLINE + Duration::from_millis(1)).await.expect_err("the deadline has passed");
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(telemetry::causes(error.cause().expect("a cause")), "no response within 9 s");
    }
}
