//! Panics of handlers.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use crate::domain::error::ApiError;

/// Makes a panic an error, so that its caller gets a response. [`telemetry::log_panics`](super::telemetry::log_panics)
/// logs where it happened. Its text is logged nowhere, since it may quote content.
///
/// # Errors
///
/// The handler's own, and `INTERNAL` for a panic.
pub async fn catch_panic<T>(handling: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    AssertUnwindSafe(handling).catch_unwind().await.unwrap_or_else(|_| Err(ApiError::internal("the handler panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Code;

    #[tokio::test]
    async fn panic_becomes_internal_error() {
        let error = catch_panic::<()>(async { panic!("broken") }).await.expect_err("it panics");
        assert_eq!(error.code(), Code::Internal);
    }
}
