//! Turns a panic in a handler into an error.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use crate::domain::error::ApiError;

/// Runs a handler; a panic becomes `INTERNAL`, so that the client gets a proper response. `telemetry::log_panics` logs
/// where it happened, and leaves out its text, which may quote message content.
///
/// # Errors
///
/// The handler's own, and `INTERNAL` for a panic.
pub async fn catch_panic<T>(handler: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| Err(ApiError::internal("the handler panicked")))
}
