//! The folder of a run: its data, logs and the environment file of the functions.
//!
//! Runs that keep their data share `target/chat-dev`, one at a time. A run that keeps nothing has a folder of its own,
//! so any number of them can run side by side. It deletes the folder unless it fails.

use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};

/// How long the folder of a failed run is kept, for its logs.
const RETENTION: Duration = Duration::from_hours(24);
const TEMPORARY_PREFIX: &str = "run-";

/// The folder of this run, locked until this value is dropped.
#[derive(Debug)]
pub(super) struct RunFolder {
    folder: PathBuf,
    is_temporary: bool,
    _lock: File,
}

impl RunFolder {
    /// The folder of runs that keep their data.
    pub(super) fn persistent(target: &Path, reset: bool) -> Result<Self> {
        let folder = target.join("chat-dev");
        let run_folder = Self::lock(folder, false)?;
        if reset {
            delete(&run_folder.data())?;
        }
        Ok(run_folder)
    }

    /// Creates a folder for this process alone.
    pub(super) fn temporary(target: &Path) -> Result<Self> {
        let parent = target.join("chat-dev");
        delete_old(&parent);
        let folder = parent.join(format!("{TEMPORARY_PREFIX}{}", std::process::id()));
        delete(&folder)?;
        Self::lock(folder, true)
    }

    fn lock(folder: PathBuf, is_temporary: bool) -> Result<Self> {
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
                let owner = fs::read_to_string(&path).unwrap_or_default();
                bail!(
                    "the stack of this project is already running (process {}): stop it, or start another beside it with \
                     --in-memory --port 0 --dynamodb-port 0",
                    owner.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).context("failed to write the lock")?;
        Ok(Self { folder, is_temporary, _lock: lock })
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

    /// Deletes the folder of a run that keeps nothing.
    pub(super) fn delete_if_temporary(self) {
        if self.is_temporary {
            // A later run deletes what could not be deleted now.
            let _ = delete(&self.folder);
        }
    }
}

/// Deletes a folder if it exists.
fn delete(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to delete {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Deletes the folders of runs that failed more than [`RETENTION`] ago.
fn delete_old(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > RETENTION));
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX);
        let is_unlocked = || File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_temporary && is_old && is_unlocked() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persistent_folder_is_used_by_one_run_at_a_time() {
        let target = tempfile::tempdir().expect("a folder");
        let first = RunFolder::persistent(target.path(), false).expect("free");
        let refused = RunFolder::persistent(target.path(), false).expect_err("in use").to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        RunFolder::persistent(target.path(), false).expect("free again");
    }

    #[test]
    fn reset_deletes_only_the_data() {
        let target = tempfile::tempdir().expect("a folder");
        let run_folder = RunFolder::persistent(target.path(), false).expect("free");
        fs::create_dir_all(run_folder.data()).expect("created");
        fs::write(run_folder.log("x"), "y").expect("written");
        drop(run_folder);
        let run_folder = RunFolder::persistent(target.path(), true).expect("free");
        assert!(!run_folder.data().exists());
        assert!(run_folder.log("x").exists());
    }

    #[test]
    fn temporary_folder_is_deleted() {
        let target = tempfile::tempdir().expect("a folder");
        let run_folder = RunFolder::temporary(target.path()).expect("free");
        let folder = run_folder.folder().to_owned();
        assert!(folder.exists());
        run_folder.delete_if_temporary();
        assert!(!folder.exists());
    }
}
