//! The guard: a second process of this program that ends the children of one that was killed.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use super::tree;

/// The hidden subcommand that the guard runs as.
pub(crate) const GUARD_COMMAND: &str = "guard-children";

/// The guard as its parent sees it. It learns of children over its stdin, which closes with the parent, however that
/// ends.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    stdin: ChildStdin,
}

impl Guard {
    pub(super) fn start() -> Result<Self> {
        let program = std::env::current_exe().context("failed to find the path of this program")?;
        let mut process = Command::new(program)
            .arg(GUARD_COMMAND)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start a second process of this program")?;
        let stdin = process.stdin.take().context("the guard has no stdin")?;
        Ok(Self { process, stdin })
    }

    pub(super) fn add(&mut self, leader: i32) {
        self.tell('+', leader);
    }

    pub(super) fn remove(&mut self, leader: i32) {
        self.tell('-', leader);
    }

    /// A guard that is gone cannot be told anything, and the stack is no worse off than without one.
    fn tell(&mut self, sign: char, leader: i32) {
        let _ = writeln!(self.stdin, "{sign}{leader}").and_then(|()| self.stdin.flush());
    }

    /// Ends the guard, which by now has nothing left to end.
    pub(super) fn finish(self) {
        let Self { mut process, stdin } = self;
        drop(stdin);
        let _ = process.wait();
    }
}

/// Runs the guard until its stdin closes.
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
    fn leaders_come_and_go() {
        let mut leaders = BTreeSet::new();
        for line in ["+12", "+34", "-12", "nonsense", "+"] {
            apply(&mut leaders, line);
        }
        assert_eq!(leaders, BTreeSet::from([34]));
    }
}
