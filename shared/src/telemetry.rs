//! Logs: one JSON object a line on standard output, where Lambda picks them up. `docs/LOGGING.md` says what may be in
//! them: never a key, a ticket, the content of a message or a whole event.

use tracing_subscriber::EnvFilter;

use crate::{config::Config, error::ApiError};

/// Begins to log at the configured level. What libraries say below a warning is left out.
pub fn init(config: &Config) {
    let level = config.log_level();
    let filter = EnvFilter::new(format!("warn,shared={level},{}={level}", crate_name()));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
}

/// The function's own crate, which is named like its binary.
fn crate_name() -> String {
    let binary = std::env::current_exe().ok();
    let name = binary.as_ref().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy().replace('-', "_"));
    name.unwrap_or_else(|| "bootstrap".to_owned())
}

/// Logs what caused an error, if anything beyond the caller's own mistake did. Called once, where the error leaves.
pub fn log_cause(error: &ApiError, request_id: &str) {
    let Some(cause) = error.cause() else { return };
    let mut chain = cause.to_string();
    let mut next = cause.source();
    while let Some(deeper) = next {
        chain = format!("{chain}: {deeper}");
        next = deeper.source();
    }
    tracing::error!(request_id, error.code = error.code().as_str(), error.cause = chain, "request failed");
}
