//! The children of this program.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::process::{ChildStderr, ChildStdout, Command};

use super::guard::Guard;
use super::tree;

/// A variable of the developer's shell that a child gets only from who starts it on purpose.
pub(crate) const PRIVATE: &str = "OPENAI_API_KEY";

/// All children of this program, so that they can be ended together. Clones are the same children.
#[derive(Debug, Clone)]
pub(crate) struct Children(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The ids of the running children, which lead process groups.
    leaders: BTreeSet<i32>,
    /// None once the children were told to stop: nothing is started any more.
    guard: Option<Guard>,
}

impl Children {
    /// Starts the guard and nothing else.
    pub(crate) fn new() -> Result<Self> {
        let state = State { leaders: BTreeSet::new(), guard: Some(Guard::start()?) };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program with no stdin and its output piped.
    pub(crate) fn spawn(&self, mut command: Command) -> Result<Child> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        if !command.as_std().get_envs().any(|(name, _)| name == PRIVATE) {
            command.env_remove(PRIVATE);
        }
        let mut state = self.state();
        let Some(guard) = &mut state.guard else { bail!("failed to start {program}: the stack is stopping") };
        let child = command.spawn().with_context(|| format!("failed to start {program}"))?;
        let id = child.id().context("a program that was just started has no id")?;
        let id = i32::try_from(id).context("a process id does not fit")?;
        guard.add(id);
        state.leaders.insert(id);
        Ok(Child { process: child, id, children: self.clone() })
    }

    /// Whether [`Children::stop`] has begun.
    pub(crate) fn are_stopping(&self) -> bool {
        self.state().guard.is_none()
    }

    /// Ends all children and what they started. Nothing can be started afterwards.
    pub(crate) async fn stop(&self) {
        let (leaders, guard) = {
            let mut state = self.state();
            (state.leaders.iter().copied().collect::<Vec<_>>(), state.guard.take())
        };
        // The guard keeps its list to the end: if this process is killed while it stops them, the guard goes on.
        let stop = move || {
            tree::stop(&leaders);
            if let Some(mut guard) = guard {
                leaders.iter().for_each(|leader| guard.remove(*leader));
                guard.finish();
            }
        };
        if tokio::task::spawn_blocking(stop).await.is_err() {
            tracing::error!("failed to stop the children");
        }
    }

    fn forget(&self, leader: i32) {
        let mut state = self.state();
        state.leaders.remove(&leader);
        if let Some(guard) = &mut state.guard {
            guard.remove(leader);
        }
    }
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    id: i32,
    children: Children,
}

impl Child {
    /// Its process id.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Its output, the first time that it is asked for.
    pub(crate) fn output(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.process.stdout.take().zip(self.process.stderr.take())
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.process.wait().await.context("failed to wait for a program")?;
        self.children.forget(self.id);
        Ok(status)
    }

    /// Ends it and what it started.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.id;
        let stopped = tokio::task::spawn_blocking(move || tree::stop(&[id]));
        self.wait().await?;
        stopped.await.context("failed to stop a program")
    }
}
