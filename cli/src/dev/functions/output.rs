//! Selects the lines of the functions' output that a developer wants to see at once. The logs contain all of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Map, Value};

use crate::terminal::{Colour, Terminal};

/// lambda_runtime warns of this variable at every start, because `cargo lambda watch` sets it to 1. It has no effect.
const IGNORED_WARNING: &str = "AWS_LAMBDA_MAX_CONCURRENCY is set";

/// Prints selected lines of the functions' output. Clones share whether the stack is ready.
#[derive(Debug, Clone)]
pub(in crate::dev) struct FunctionOutput {
    terminal: Terminal,
    ready: Arc<AtomicBool>,
}

/// The kind of a line of output.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Only for the log.
    Routine,
    /// A warning or an error in a function's log.
    Problem(String),
    /// The first line of a compiler error or a panic.
    DiagnosticStart,
    /// A function is compiled or started again.
    Reload(String),
}

impl FunctionOutput {
    pub(in crate::dev) fn new(terminal: Terminal) -> Self {
        Self { terminal, ready: Arc::default() }
    }

    /// Prints reloads from now on: before, the functions start for the first time.
    pub(in crate::dev) fn show_reloads(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// The handler for the lines of one process.
    pub(in crate::dev) fn line_handler(&self, label: Option<String>) -> impl FnMut(&str) + Send + 'static {
        let Self { terminal, ready } = self.clone();
        let mut in_diagnostic = false;
        move |line| {
            let label = label.as_ref().map(|label| format!("{label}: ")).unwrap_or_default();
            if in_diagnostic && continues_diagnostic(line) {
                terminal.line(line);
                return;
            }
            in_diagnostic = false;
            match classify(line) {
                Line::Routine => {}
                Line::Problem(text) => terminal.warning(format_args!("{label}{text}")),
                Line::DiagnosticStart => {
                    in_diagnostic = true;
                    terminal.line(format_args!("{label}{}", terminal.paint(Colour::Red, line)));
                }
                Line::Reload(text) if ready.load(Ordering::Relaxed) => {
                    terminal.line(terminal.paint(Colour::Dim, format_args!("↻ {text}")));
                }
                Line::Reload(_) => {}
            }
        }
    }
}

/// Whether a line belongs to the compiler error or panic before it, and not to another process that writes to the same log.
fn continues_diagnostic(line: &str) -> bool {
    let word = line.trim_start().split(' ').next().unwrap_or_default();
    let of_cargo = ["Blocking", "Building", "Compiling", "Finished", "Running", "DEBUG", "INFO", "WARN", "ERROR"];
    let ends = line.is_empty() || line.starts_with("note: ") || line.starts_with("stack backtrace");
    !ends && !line.starts_with('{') && !line.starts_with("error: could not compile") && !of_cargo.contains(&word)
}

fn classify(line: &str) -> Line {
    if line.contains(IGNORED_WARNING) {
        return Line::Routine;
    }
    if line.starts_with("error: could not compile") {
        return Line::Problem(line.trim_start_matches("error: ").to_owned());
    }
    if line.starts_with('{') {
        return match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(entry) => classify_log_entry(&entry),
            Err(_) => Line::Routine,
        };
    }
    if line.starts_with("error: ") || line.starts_with("error[") || line.contains(" panicked at ") {
        return Line::DiagnosticStart;
    }
    let text = line.trim_start();
    if let Some(("Compiling", what)) = text.split_once(' ') {
        return Line::Reload(format!("compiling {}", what.split(' ').next().unwrap_or(what)));
    }
    if let Some(path) = text.strip_prefix("Running `").and_then(|rest| rest.strip_suffix('`')) {
        let name = path.rsplit('/').next().unwrap_or(path);
        return Line::Reload(format!("{name} started"));
    }
    // `… WARN target: message`, or `WARN message` from cargo-lambda.
    let level = text.split_whitespace().take(2).find(|word| matches!(*word, "WARN" | "ERROR"));
    level.map_or(Line::Routine, |_| Line::Problem(text.to_owned()))
}

/// Classifies a line of a JSON log. Its text is the message, then the fields.
fn classify_log_entry(entry: &Map<String, Value>) -> Line {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    if !matches!(text("level"), "WARN" | "ERROR") {
        return Line::Routine;
    }
    let mut line = text("message").to_owned();
    for (name, value) in entry {
        if !matches!(name.as_str(), "level" | "message" | "timestamp" | "target") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&format!(" {name}={value}"));
        }
    }
    Line::Problem(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_shown_in_both_formats() {
        let json =
            r#"{"timestamp":"…","level":"ERROR","message":"request failed","error.code":"INTERNAL","target":"x"}"#;
        assert_eq!(classify(json), Line::Problem("request failed error.code=INTERNAL".to_owned()));
        let text = "2026-11-23T04:00:00Z  WARN create_chat: odd";
        assert_eq!(classify(text), Line::Problem(text.to_owned()));
        assert_eq!(classify("ERROR command killed"), Line::Problem("ERROR command killed".to_owned()));
    }

    #[test]
    fn other_lines_are_only_in_the_logs() {
        for line in [
            "",
            r#"{"level":"INFO","message":"fine"}"#,
            "{not json",
            " INFO starting Runtime server",
            " WARN AWS_LAMBDA_MAX_CONCURRENCY is set to '1', but …",
            "    Finished `dev` profile",
        ] {
            assert_eq!(classify(line), Line::Routine, "{line}");
        }
    }

    #[test]
    fn reloads_compiler_errors_and_panics_are_shown() {
        assert_eq!(classify("   Compiling create-chat v0.1.0 (/w)"), Line::Reload("compiling create-chat".to_owned()));
        assert_eq!(classify("     Running `/t/debug/ws-message`"), Line::Reload("ws-message started".to_owned()));
        assert_eq!(classify("error[E0425]: cannot find value"), Line::DiagnosticStart);
        assert_eq!(classify("thread 'main' (7) panicked at src/main.rs:1:1:"), Line::DiagnosticStart);
    }

    #[test]
    fn compiler_error_ends_at_the_output_of_another_process() {
        assert!(continues_diagnostic(" --> src/main.rs:1:1"));
        assert!(continues_diagnostic("   |"));
        for line in ["", "    Blocking waiting for file lock", " INFO terminating", "note: run with", "{}"] {
            assert!(!continues_diagnostic(line), "{line}");
        }
    }
}
