//! Logs: one JSON object a line on standard output, where Lambda picks them up.

use tracing_subscriber::EnvFilter;

use super::line;
use crate::{domain::error::ApiError, runtime::config::RuntimeConfig};

/// Begins to log what `function`, named by `env!("CARGO_CRATE_NAME")`, and this library say, at the configured level.
/// What other libraries say below a warning is left out.
pub fn init(config: &RuntimeConfig, function: &str) {
    line::name_stack(config.stack_name());
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

/// Logs where a panic happened, in place of what Rust prints, which is its text too: that may quote the value that was
/// not as expected, and so content.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

/// Logs what caused an error, if anything beyond the caller's own mistake did. Called once, where the error leaves.
pub fn log_cause(error: &ApiError, request_id: &str) {
    if let Some(cause) = error.cause() {
        let code = error.code().as_str();
        tracing::error!(request_id, error.code = code, error.cause = causes(cause), "request failed");
    }
}

/// An error with all that caused it, in one line.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut chain = error.to_string();
    let mut next = error.source();
    while let Some(deeper) = next {
        chain = format!("{chain}: {deeper}");
        next = deeper.source();
    }
    chain
}
