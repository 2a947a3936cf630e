//! How long a caller is kept waiting.
//!
//! A request may make several calls, each of which may be slow, or be tried again: together they may take longer than
//! anybody waits. API Gateway gives up after 29 s, Lambda kills a function at its `Timeout`, and API Gateway then answers
//! in words of its own. So each request has one budget for all that it does before its answer.

use std::{future::Future, time::Duration};

use crate::domain::error::ApiError;

/// How long a request may take to be answered. A second less than the shortest `Timeout` in the template, which is left
/// for the answer's way.
pub const BUDGET: Duration = Duration::from_secs(9);

/// The time was used up.
#[derive(Debug, thiserror::Error)]
#[error("failed to answer within {} s", .0.as_secs())]
struct UsedUp(Duration);

/// What `handling` returns, if it does so within the [`BUDGET`].
///
/// What takes longer is dropped where it stands, as if the process had died there; a write that is under way may still be
/// carried out. Handlers are made for both. Work after the answer is not dropped with it.
///
/// # Errors
///
/// The handler's own, and `UNAVAILABLE` when the budget is used up.
pub async fn within_deadline<T>(handling: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    within(BUDGET, handling).await
}

/// As [`within_deadline`], with another budget.
///
/// # Errors
///
/// The handler's own, and `UNAVAILABLE` when the time is used up.
pub async fn within<T>(time: Duration, handling: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let result = tokio::time::timeout(time, handling).await;
    result.unwrap_or_else(|_| Err(ApiError::unavailable(UsedUp(time))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::error::Code, runtime::telemetry};

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_unavailable() {
        let takes = |time: Duration| {
            within_deadline(async move {
                tokio::time::sleep(time).await;
                Ok(())
            })
        };
        assert!(takes(BUDGET - Duration::from_millis(1)).await.is_ok());
        let error = takes(BUDGET + Duration::from_millis(1)).await.expect_err("it takes too long");
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(telemetry::causes(error.cause().expect("a cause")), "failed to answer within 9 s");
    }
}
