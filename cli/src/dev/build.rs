//! Building the functions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::state::State;
use super::workspace::{Workspace, cargo};
use crate::process::{Children, Log, without_colours};
use crate::terminal::{Step, Terminal};

/// A message of `cargo build --message-format json`, as far as it matters here.
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

/// What came out of a build so far.
#[derive(Debug, Default)]
struct Outcome {
    executables: BTreeMap<String, PathBuf>,
    crates: usize,
    current: String,
}

impl Outcome {
    fn look(&mut self, line: &str) {
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
            self.current = what.to_owned();
        }
    }
}

/// What a compiler said, from the output of cargo: without the messages for programs, and without the progress.
fn diagnostics(output: &str) -> String {
    let progress = ["Compiling", "Checking", "Downloading", "Downloaded", "Locking", "Updating", "Adding", "Blocking"];
    let lines = output.lines().filter(|line| {
        let line = without_colours(line);
        let word = line.trim_start().split(' ').next().unwrap_or_default();
        !(line.starts_with('{') || line.starts_with(' ') && progress.contains(&word))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Builds the binaries of these names. Returns where they lie.
pub(super) async fn build(
    workspace: &Workspace,
    state: &State,
    children: &Children,
    names: &[String],
    release: bool,
    terminal: &Terminal,
) -> Result<BTreeMap<String, PathBuf>> {
    let step = terminal.step("Building the functions");
    step.announce();
    let mut command = Command::new(cargo());
    command.args(["build", "--manifest-path", "Cargo.toml"]);
    if release {
        command.arg("--release");
    }
    command.current_dir(&workspace.root);
    let log = Log::create(state.log("build"))?;
    let executables = compile(command, names, &log, children, &step, terminal).await?;
    step.done(format_args!("Built {} functions{}", names.len(), if release { " with optimisations" } else { "" }));
    Ok(executables)
}

/// Runs `cargo build`, or what takes its arguments, for the binaries of these names, and shows how far it is.
///
/// They are named to cargo exactly as `cargo lambda watch` will name them: with `--package` cargo would choose other
/// features for what they share, and the watcher would compile all of it again at the first request.
pub(crate) async fn compile(
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
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let seen = Arc::clone(&outcome);
    let output = log.keep(&mut child, move |line| seen.lock().unwrap_or_else(PoisonError::into_inner).look(line));
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = ticks.tick() => {
                let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                if !outcome.current.is_empty() {
                    step.progress(format!("{} crates done, {}", outcome.crates, outcome.current));
                }
            }
        }
    };
    for reader in output {
        let _ = reader.await;
    }
    let outcome = std::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner));
    if !status.success() {
        let output = std::fs::read(log.path()).unwrap_or_default();
        terminal.line(diagnostics(&String::from_utf8_lossy(&output)).trim_end());
        bail!("the functions do not compile; correct that and start again");
    }
    Ok(outcome.executables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_and_progress_are_read() {
        let mut outcome = Outcome::default();
        for line in [
            "   Compiling alpha v0.1.0 (/w/alpha)",
            r#"{"reason":"compiler-artifact","target":{"name":"alpha"},"executable":"/t/debug/alpha"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"shared"},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "    Finished `dev` profile",
        ] {
            outcome.look(line);
        }
        assert_eq!(outcome.crates, 2);
        assert_eq!(outcome.executables, BTreeMap::from([("alpha".to_owned(), PathBuf::from("/t/debug/alpha"))]));
        assert_eq!(outcome.current, "alpha v0.1.0 (/w/alpha)");
    }

    #[test]
    fn compiler_errors_are_left_as_they_are() {
        let output = "\u{1b}[32m   Compiling\u{1b}[0m alpha v0.1.0\n\u{1b}[31merror\u{1b}[0m: no\n --> a:1\n\n{}\n";
        assert_eq!(diagnostics(output), "\u{1b}[31merror\u{1b}[0m: no\n --> a:1\n");
    }
}
