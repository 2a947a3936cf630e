//! The child processes of this program.

use std::{
    collections::BTreeSet,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, bail};
use tokio::process::{ChildStderr, ChildStdout, Command};

use super::{reaper::Reaper, tree};

/// A secret in the developer's shell. A child gets it only if its environment sets it explicitly.
pub(crate) const OPENAI_API_KEY: &str = "OPENAI_API_KEY";

/// All child processes of this program, so that they can be stopped together. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Children(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The process ids of the running children, each of which leads a process group.
    leaders: BTreeSet<i32>,
    /// `None` after [`Children::stop`]: no child can be started any more.
    reaper: Option<Reaper>,
}

impl Children {
    /// Starts the reaper, and no child yet.
    pub(crate) fn new() -> Result<Self> {
        let state = State { leaders: BTreeSet::new(), reaper: Some(Reaper::start()?) };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program without stdin, its output piped.
    pub(crate) fn spawn(&self, mut command: Command) -> Result<Child> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        if !command.as_std().get_envs().any(|(name, _)| name == OPENAI_API_KEY) {
            command.env_remove(OPENAI_API_KEY);
        }
        let mut state = self.state();
        let Some(reaper) = &mut state.reaper else { bail!("failed to start {program}: the stack is stopping") };
        let child = command.spawn().with_context(|| format!("failed to start {program}"))?;
        let id = child.id().context("a process that was just started has no id")?;
        let id = i32::try_from(id).context("the process id is out of range")?;
        reaper.add(id);
        state.leaders.insert(id);
        Ok(Child { process: child, id, children: self.clone() })
    }

    /// Whether [`Children::stop`] has begun.
    pub(crate) fn are_stopping(&self) -> bool {
        self.state().reaper.is_none()
    }

    /// Stops all children and their descendants. No child can be started afterwards.
    pub(crate) async fn stop(&self) {
        let (leaders, reaper) = {
            let mut state = self.state();
            (state.leaders.iter().copied().collect::<Vec<_>>(), state.reaper.take())
        };
        // The reaper keeps its list until all have stopped: if this process is killed meanwhile, the reaper continues.
        let stop = move || {
            tree::stop(&leaders);
            if let Some(mut reaper) = reaper {
                leaders.iter().for_each(|leader| reaper.remove(*leader));
                reaper.finish();
            }
        };
        if tokio::task::spawn_blocking(stop).await.is_err() {
            tracing::error!("failed to stop the child processes");
        }
    }

    fn forget(&self, leader: i32) {
        let mut state = self.state();
        state.leaders.remove(&leader);
        if let Some(reaper) = &mut state.reaper {
            reaper.remove(leader);
        }
    }
}

/// A child process.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    id: i32,
    children: Children,
}

impl Child {
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Its stdout and stderr. `None` after the first call.
    pub(super) fn take_output(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.process.stdout.take().zip(self.process.stderr.take())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits until it exits.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.process.wait().await.context("failed to wait for a child process")?;
        self.children.forget(self.id);
        Ok(status)
    }

    /// Stops it and its descendants.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.id;
        let stopped = tokio::task::spawn_blocking(move || tree::stop(&[id]));
        self.wait().await?;
        stopped.await.context("failed to stop a child process")
    }
}
