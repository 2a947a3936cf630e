//! How the programs of this folder fail.

use std::process::ExitCode;

use anyhow::Error;
use serde_json::json;

use crate::terminal::Terminal;

/// Prints a failure for people and, as an event, for programs.
pub(super) fn fail(error: &Error, terminal: &Terminal) -> ExitCode {
    let message = format!("{error:#}");
    terminal.failure(&message);
    terminal.event(&json!({"event": "failed", "message": message}));
    ExitCode::FAILURE
}
