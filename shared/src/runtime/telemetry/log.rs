//! Logs: one JSON object per line on standard output, which Lambda sends to CloudWatch.

use tracing_subscriber::EnvFilter;

use super::line;
use crate::{domain::error::ApiError, runtime::config::RuntimeConfig};

/// Starts logging for `function`, named by `env!("CARGO_CRATE_NAME")`, and this library at the configured level; for
/// other libraries at `warn`.
pub fn init(config: &RuntimeConfig, function: &str) {
    line::set_stack_name(config.stack_name());
    let level = config.log_level();
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(EnvFilter::new(format!("warn,shared={level},{function}={level}")))
        .init();
    log_panics();
}

/// Logs the location of a panic. Rust's own hook also prints the panic's text, which may quote message content.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

/// Logs the cause of an error, unless the caller is at fault. Called once, where the error leaves the function.
pub fn log_cause(error: &ApiError, request_id: &str) {
    if let Some(cause) = error.cause() {
        let code = error.code().as_str();
        tracing::error!(request_id, error.code = code, error.cause = causes(cause), "request failed");
    }
}

/// Logs an attempt that failed and is repeated.
pub fn log_attempt(error: &ApiError, request_id: &str) {
    if let Some(cause) = error.cause() {
        tracing::warn!(request_id, error.code = error.code().as_str(), error.cause = causes(cause), "attempt failed");
    }
}

/// An error and its sources, in one line.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    chain
}
