//! What of the functions' output a developer wants to see at once. All of it is in the logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};

use crate::terminal::{Colour, Terminal};

/// lambda_runtime says so at every start below `cargo lambda watch`, which sets it to 1. It changes nothing.
const NOISE: &str = "AWS_LAMBDA_MAX_CONCURRENCY is set";

/// Looks at the output of the functions. Clones share whether the stack is ready.
#[derive(Debug, Clone)]
pub(in crate::dev) struct Output {
    terminal: Terminal,
    ready: Arc<AtomicBool>,
}

/// What a line means to a developer.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing, at once.
    Quiet,
    /// A warning or an error that a function logged.
    Complaint(String),
    /// The beginning of a compiler error or a panic, which goes on.
    Begins,
    /// A function that is built or started again.
    Reload(String),
}

impl Output {
    pub(in crate::dev) fn new(terminal: Terminal) -> Self {
        Self { terminal, ready: Arc::default() }
    }

    /// From now on, what is built or started is a reload.
    pub(in crate::dev) fn is_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// What looks at the lines of one program.
    pub(in crate::dev) fn look(&self, label: Option<String>) -> impl FnMut(&str) + Send + 'static {
        let Self { terminal, ready } = self.clone();
        let mut inside = false;
        move |line| {
            let label = label.as_ref().map(|label| format!("{label}: ")).unwrap_or_default();
            if inside && goes_on(line) {
                terminal.line(line);
                return;
            }
            inside = false;
            match meaning(line) {
                Meaning::Quiet => {}
                Meaning::Complaint(text) => terminal.warning(format_args!("{label}{text}")),
                Meaning::Begins => {
                    inside = true;
                    terminal.line(format_args!("{label}{}", terminal.paint(Colour::Red, line)));
                }
                Meaning::Reload(text) if ready.load(Ordering::Relaxed) => {
                    terminal.line(terminal.paint(Colour::Dim, format_args!("↻ {text}")));
                }
                Meaning::Reload(_) => {}
            }
        }
    }
}

/// Whether a line belongs to the compiler error or the panic before it. Other processes write to the same place.
fn goes_on(line: &str) -> bool {
    let word = line.trim_start().split(' ').next().unwrap_or_default();
    let of_cargo = ["Blocking", "Building", "Compiling", "Finished", "Running", "DEBUG", "INFO", "WARN", "ERROR"];
    let ends = line.is_empty() || line.starts_with("note: ") || line.starts_with("stack backtrace");
    !ends && !line.starts_with('{') && !line.starts_with("error: could not compile") && !of_cargo.contains(&word)
}

fn meaning(line: &str) -> Meaning {
    if line.contains(NOISE) {
        return Meaning::Quiet;
    }
    if line.starts_with("error: could not compile") {
        return Meaning::Complaint(line.trim_start_matches("error: ").to_owned());
    }
    if line.starts_with('{') {
        return match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(entry) => of_entry(&entry),
            Err(_) => Meaning::Quiet,
        };
    }
    if line.starts_with("error: ") || line.starts_with("error[") || line.contains(" panicked at ") {
        return Meaning::Begins;
    }
    let text = line.trim_start();
    if let Some(("Compiling", what)) = text.split_once(' ') {
        return Meaning::Reload(format!("compiling {}", what.split(' ').next().unwrap_or(what)));
    }
    if let Some(path) = text.strip_prefix("Running `").and_then(|rest| rest.strip_suffix('`')) {
        let name = path.rsplit('/').next().unwrap_or(path);
        return Meaning::Reload(format!("{name} started"));
    }
    // `… WARN target: message`, and `WARN message` of cargo-lambda itself.
    let level = text.split_whitespace().take(2).find(|word| matches!(*word, "WARN" | "ERROR"));
    level.map_or(Meaning::Quiet, |_| Meaning::Complaint(text.to_owned()))
}

/// A line of a JSON log: its message, and its fields behind that.
fn of_entry(entry: &Map<String, Value>) -> Meaning {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    if !matches!(text("level"), "WARN" | "ERROR") {
        return Meaning::Quiet;
    }
    let mut line = text("message").to_owned();
    for (name, value) in entry {
        if !matches!(name.as_str(), "level" | "message" | "timestamp" | "target") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.push_str(&format!(" {name}={value}"));
        }
    }
    Meaning::Complaint(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_seen_in_both_formats() {
        let json =
            r#"{"timestamp":"…","level":"ERROR","message":"request failed","error.code":"INTERNAL","target":"x"}"#;
        assert_eq!(meaning(json), Meaning::Complaint("request failed error.code=INTERNAL".to_owned()));
        let text = "2026-11-23T04:00:00Z  WARN create_chat: odd";
        assert_eq!(meaning(text), Meaning::Complaint(text.to_owned()));
        assert_eq!(meaning("ERROR command killed"), Meaning::Complaint("ERROR command killed".to_owned()));
    }

    #[test]
    fn everything_else_is_left_to_the_logs() {
        for line in [
            "",
            r#"{"level":"INFO","message":"fine"}"#,
            "{not json",
            " INFO starting Runtime server",
            " WARN AWS_LAMBDA_MAX_CONCURRENCY is set to '1', but …",
            "    Finished `dev` profile",
        ] {
            assert_eq!(meaning(line), Meaning::Quiet, "{line}");
        }
    }

    #[test]
    fn reloads_compiler_errors_and_panics_are_seen() {
        assert_eq!(
            meaning("   Compiling create-chat v0.1.0 (/w)"),
            Meaning::Reload("compiling create-chat".to_owned())
        );
        assert_eq!(meaning("     Running `/t/debug/ws-message`"), Meaning::Reload("ws-message started".to_owned()));
        assert_eq!(meaning("error[E0425]: cannot find value"), Meaning::Begins);
        assert_eq!(meaning("thread 'main' (7) panicked at src/main.rs:1:1:"), Meaning::Begins);
    }

    #[test]
    fn a_compiler_error_ends_where_others_speak() {
        assert!(goes_on(" --> src/main.rs:1:1"));
        assert!(goes_on("   |"));
        for line in ["", "    Blocking waiting for file lock", " INFO terminating", "note: run with", "{}"] {
            assert!(!goes_on(line), "{line}");
        }
    }
}
