//! Runs `cargo build` and shows its progress.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};
use serde::Deserialize;
use tokio::{process::Command, time::interval};

use crate::{
    process::{Children, Log},
    terminal::{Step, Terminal, without_colours},
};

/// How often the progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// A message of `cargo build --message-format json`, with the fields that are used here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

/// What a build has produced so far.
#[derive(Debug, Default)]
struct Progress {
    executables: BTreeMap<String, PathBuf>,
    crates: usize,
    current: String,
}

impl Progress {
    fn read_line(&mut self, line: &str) {
        if line.starts_with('{') {
            let Ok(message) = serde_json::from_str::<Message>(line) else { return };
            if message.reason == "compiler-artifact" {
                self.crates += 1;
                if let (Some(target), Some(executable)) = (message.target, message.executable) {
                    self.executables.insert(target.name, executable);
                }
            }
            return;
        }
        if let Some(("Compiling" | "Downloading" | "Downloaded", what)) = line.trim_start().split_once(' ') {
            // `NAME VERSION (PATH)`: the path of a workspace crate is too long for one line.
            self.current = what.split(" (").next().unwrap_or(what).to_owned();
        }
    }
}

/// Builds binaries with `cargo build`, or with a program that takes its arguments. Returns their paths by name.
///
/// Selects them by `--bin`, as `cargo lambda watch` does: with `--package` cargo would choose other features for their
/// dependencies, and the watcher would compile all of them again at the first request.
///
/// # Errors
///
/// When a binary does not compile. The compiler's diagnostics are printed.
pub(crate) async fn build_binaries(
    mut command: Command,
    names: &[String],
    log: &Log,
    children: &Children,
    step: &Step,
    terminal: &Terminal,
) -> Result<BTreeMap<String, PathBuf>> {
    command.args(["--message-format", "json-render-diagnostics"]);
    for name in names {
        command.args(["--bin", name]);
    }
    if terminal.is_coloured() {
        command.args(["--color", "always"]);
    }
    let mut child = children.spawn(command)?;
    let progress = Arc::new(Mutex::new(Progress::default()));
    let updated = Arc::clone(&progress);
    let output =
        log.capture(&mut child, move |line| updated.lock().unwrap_or_else(PoisonError::into_inner).read_line(line));
    let mut ticks = interval(PROGRESS_INTERVAL);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = ticks.tick() => {
                let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                if !progress.current.is_empty() {
                    step.progress(format!("{} crates done, now {}", progress.crates, progress.current));
                }
            }
        }
    };
    for reader in output {
        let _ = reader.await;
    }
    let progress = std::mem::take(&mut *progress.lock().unwrap_or_else(PoisonError::into_inner));
    if !status.success() {
        let output = std::fs::read(log.path()).unwrap_or_default();
        terminal.line(diagnostics(&String::from_utf8_lossy(&output)).trim_end());
        bail!("the functions do not compile: fix the errors above, then start again");
    }
    Ok(progress.executables)
}

/// The compiler's diagnostics in the output of cargo: without JSON messages and without progress.
fn diagnostics(output: &str) -> String {
    const PROGRESS: [&str; 8] =
        ["Compiling", "Checking", "Downloading", "Downloaded", "Locking", "Updating", "Adding", "Blocking"];
    let lines = output.lines().filter(|line| {
        let line = without_colours(line);
        let word = line.trim_start().split(' ').next().unwrap_or_default();
        !(line.starts_with('{') || line.starts_with(' ') && PROGRESS.contains(&word))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_and_progress_are_read_from_the_output_of_cargo() {
        let mut progress = Progress::default();
        for line in [
            "   Compiling alpha v0.1.0 (/w/alpha)",
            r#"{"reason":"compiler-artifact","target":{"name":"alpha"},"executable":"/t/debug/alpha"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"shared"},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "    Finished `dev` profile",
        ] {
            progress.read_line(line);
        }
        assert_eq!(progress.crates, 2);
        assert_eq!(progress.executables, BTreeMap::from([("alpha".to_owned(), PathBuf::from("/t/debug/alpha"))]));
        assert_eq!(progress.current, "alpha v0.1.0");
    }

    #[test]
    fn diagnostics_keep_their_colours() {
        let output = "\u{1b}[32m   Compiling\u{1b}[0m alpha v0.1.0\n\u{1b}[31merror\u{1b}[0m: no\n --> a:1\n\n{}\n";
        assert_eq!(diagnostics(output), "\u{1b}[31merror\u{1b}[0m: no\n --> a:1\n");
    }
}
