//! Installs tools into `target/tools`.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    process::Command,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    process::{Children, Log},
    terminal::Step,
};

/// The folder `target/tools`.
#[derive(Debug, Clone)]
pub(crate) struct ToolFolder {
    folder: PathBuf,
    children: Children,
    log: Log,
}

impl ToolFolder {
    pub(crate) fn new(target: &Path, children: Children, log: Log) -> Self {
        Self { folder: target.join("tools"), children, log }
    }

    /// Where a tool is, once it is installed.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Installs a tool: `fetch` gets an empty scratch folder, and the path that it returns is renamed to `name`. A process
    /// that is killed leaves no incomplete tool, and of two processes one waits for the other.
    pub(super) async fn install<F>(&self, name: &str, step: &Step, fetch: F) -> Result<PathBuf>
    where
        F: AsyncFnOnce(&Path) -> Result<PathBuf>,
    {
        let tool = self.path(name);
        fs::create_dir_all(&self.folder).with_context(|| format!("failed to create {}", self.folder.display()))?;
        let _lock = lock(&self.folder.join(format!(".{name}.lock")), step).await?;
        if tool.exists() {
            return Ok(tool);
        }
        let scratch = self.folder.join(format!(".{name}.part"));
        if scratch.exists() {
            fs::remove_dir_all(&scratch).with_context(|| format!("failed to delete {}", scratch.display()))?;
        }
        fs::create_dir(&scratch).with_context(|| format!("failed to create {}", scratch.display()))?;
        let fetched = fetch(&scratch).await?;
        fs::rename(&fetched, &tool).with_context(|| format!("failed to create {}", tool.display()))?;
        let _ = fs::remove_dir_all(&scratch);
        Ok(tool)
    }

    /// Runs a program to its end, and shows the size of `scratch` as its progress.
    pub(super) async fn run(&self, command: Command, scratch: &Path, step: &Step) -> Result<()> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = self.children.spawn(command)?;
        let output = self.log.capture(&mut child, |_| {});
        let mut ticks = interval(Duration::from_millis(250));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                _ = ticks.tick() => step.progress(format!("{:.1} MB", megabytes(scratch))),
            }
        };
        for reader in output {
            let _ = reader.await;
        }
        if !status.success() {
            let program = Path::new(&program).file_name().unwrap_or_default().display();
            bail!(
                "{program} failed ({status}): check that its registry can be reached; its output is in {}",
                self.log.path().display()
            );
        }
        Ok(())
    }
}

/// Locks a file, once no other process has locked it.
async fn lock(path: &Path, step: &Step) -> Result<File> {
    let file = File::create(path).with_context(|| format!("failed to write {}", path.display()))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => step.progress("another process is fetching it".to_owned()),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The size of a folder's files. Skips files that are deleted meanwhile.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal place")]
fn megabytes(folder: &Path) -> f64 {
    fn bytes(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
                Ok(metadata) => metadata.len(),
                Err(_) => 0,
            })
            .sum()
    }
    bytes(folder) as f64 / 1e6
}
