//! The reaper: a second process of this program, which stops the children if the first is killed.

use std::{
    collections::BTreeSet,
    io::{BufRead, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};

use super::tree;

/// The hidden subcommand that the reaper runs.
pub(crate) const REAPER_COMMAND: &str = "reap-children";

/// The parent's handle. The reaper reads the ids of children from its stdin, which closes when the parent exits or is
/// killed.
#[derive(Debug)]
pub(super) struct Reaper {
    process: Child,
    stdin: ChildStdin,
}

impl Reaper {
    pub(super) fn start() -> Result<Self> {
        let program = std::env::current_exe().context("failed to find the path of this program")?;
        let mut process = Command::new(program)
            .arg(REAPER_COMMAND)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start a second process of this program")?;
        let stdin = process.stdin.take().context("the reaper has no stdin")?;
        Ok(Self { process, stdin })
    }

    pub(super) fn add(&mut self, leader: i32) {
        self.send('+', leader);
    }

    pub(super) fn remove(&mut self, leader: i32) {
        self.send('-', leader);
    }

    /// Ignores failures: without its reaper, the stack still runs and stops.
    fn send(&mut self, sign: char, leader: i32) {
        let _ = writeln!(self.stdin, "{sign}{leader}").and_then(|()| self.stdin.flush());
    }

    /// Lets the reaper exit, once all children have.
    pub(super) fn finish(self) {
        let Self { mut process, stdin } = self;
        drop(stdin);
        let _ = process.wait();
    }
}

/// Runs the reaper until its stdin closes.
pub(crate) fn run() -> ExitCode {
    let mut leaders = BTreeSet::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        apply(&mut leaders, &line);
    }
    tree::stop(&leaders.into_iter().collect::<Vec<_>>());
    ExitCode::SUCCESS
}

fn apply(leaders: &mut BTreeSet<i32>, line: &str) {
    if let Some(Ok(leader)) = line.strip_prefix('+').map(str::parse) {
        leaders.insert(leader);
    } else if let Some(Ok(leader)) = line.strip_prefix('-').map(str::parse::<i32>) {
        leaders.remove(&leader);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_are_added_and_removed() {
        let mut leaders = BTreeSet::new();
        for line in ["+12", "+34", "-12", "nonsense", "+"] {
            apply(&mut leaders, line);
        }
        assert_eq!(leaders, BTreeSet::from([34]));
    }
}
