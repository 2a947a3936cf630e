//! The folder of a run: data, logs and the functions' environment.
//!
//! A run that keeps its data uses `target/chat-dev`, and no two may at once. A run that keeps nothing has a folder of
//! its own, which it deletes when it ends well, so that any number of them may go on side by side.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

/// How long the folder of a run that ended badly is kept for whoever wants to read its logs.
const KEPT: Duration = Duration::from_hours(24);
const PASSING: &str = "run-";

/// The folder of this run. The lock on it ends with this value.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    passing: bool,
    _lock: File,
}

impl State {
    /// Takes the folder below `target` that all runs share which keep their data.
    pub(super) fn lasting(target: &Path, reset: bool) -> Result<Self> {
        let folder = target.join("chat-dev");
        let state = Self::lock(folder, false)?;
        if reset {
            remove(&state.data())?;
        }
        Ok(state)
    }

    /// Makes a folder below `target` for this process alone.
    pub(super) fn passing(target: &Path) -> Result<Self> {
        let parent = target.join("chat-dev");
        sweep(&parent);
        let folder = parent.join(format!("{PASSING}{}", std::process::id()));
        remove(&folder)?;
        Self::lock(folder, true)
    }

    fn lock(folder: PathBuf, passing: bool) -> Result<Self> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("failed to create {}", logs.display()))?;
        let path = folder.join("lock");
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("failed to write {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                bail!(
                    "this project's stack runs already (process {}); stop it, or start a passing one beside it with \
                     --in-memory --port 0 --dynamodb-port 0",
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).context("failed to write the lock")?;
        Ok(Self { folder, passing, _lock: lock })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("dynamodb")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(super) fn environment_file(&self) -> PathBuf {
        self.folder.join("functions.env")
    }

    /// Deletes what a run leaves that keeps nothing.
    pub(super) fn discard(self) {
        if self.passing {
            // What cannot be deleted now is swept by a later run.
            let _ = remove(&self.folder);
        }
    }
}

/// Deletes a folder that may not be there.
fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to delete {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Deletes the folders of runs that ended badly some time ago.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > KEPT));
        let passing = entry.file_name().to_string_lossy().starts_with(PASSING);
        let unused = || File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if passing && old && unused() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_folder_is_for_one_run_at_a_time() {
        let target = tempfile::tempdir().expect("a folder");
        let first = State::lasting(target.path(), false).expect("free");
        let refused = State::lasting(target.path(), false).expect_err("taken").to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        State::lasting(target.path(), false).expect("free again");
    }

    #[test]
    fn reset_deletes_the_data_and_nothing_else() {
        let target = tempfile::tempdir().expect("a folder");
        let state = State::lasting(target.path(), false).expect("free");
        fs::create_dir_all(state.data()).expect("created");
        fs::write(state.log("x"), "y").expect("written");
        drop(state);
        let state = State::lasting(target.path(), true).expect("free");
        assert!(!state.data().exists());
        assert!(state.log("x").exists());
    }

    #[test]
    fn a_passing_folder_leaves_nothing() {
        let target = tempfile::tempdir().expect("a folder");
        let state = State::passing(target.path()).expect("free");
        let folder = state.folder().to_owned();
        assert!(folder.exists());
        state.discard();
        assert!(!folder.exists());
    }
}
