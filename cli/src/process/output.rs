//! What children print: kept in a file, and looked at line by line.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::Child;

/// A log file. Clones write to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Log {
    /// Begins an empty log.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Self { path, file: Arc::new(Mutex::new(file)) })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a child's output. `look` sees each line of it, without colours. Ends with the output.
    pub(crate) fn keep(&self, child: &mut Child, look: impl FnMut(&str) + Send + 'static) -> [JoinHandle<()>; 2] {
        let look = Arc::new(Mutex::new(look));
        let (stdout, stderr) = child.output().unzip();
        [self.copy(stdout, Arc::clone(&look)), self.copy(stderr, look)]
    }

    fn copy<R, F>(&self, source: Option<R>, look: Arc<Mutex<F>>) -> JoinHandle<()>
    where
        R: AsyncRead + Unpin + Send + 'static,
        F: FnMut(&str) + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        tokio::spawn(async move {
            let Some(source) = source else { return };
            let mut lines = BufReader::new(source);
            let mut line = Vec::new();
            // A line that is no UTF-8 is no reason to stop reading: a full pipe would stop the child.
            while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
                let text = without_colours(&String::from_utf8_lossy(&line));
                (*look.lock().unwrap_or_else(PoisonError::into_inner))(text.trim_end());
                line.clear();
            }
        })
    }
}

/// The text without terminal escape sequences.
pub(crate) fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.find(|c: char| ('@'..='~').contains(&c)).map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain
}

/// Runs a program that answers at once, such as one with `--version`. Returns the first line it printed, wherever it
/// printed it; none if it cannot be started or fails.
pub(crate) async fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await.ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    output.status.success().then_some(line)
}

#[cfg(test)]
mod tests {
    use super::without_colours;

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[31merror\u{1b}[0m: é\n"), "error: é\n");
        assert_eq!(without_colours("cut \u{1b}[3"), "cut ");
    }
}
