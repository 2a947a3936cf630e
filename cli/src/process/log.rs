//! The output of child processes: written to a log file, and passed on line by line.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    task::JoinHandle,
};

use super::children::Child;
use crate::terminal::without_colours;

/// A log file. Clones write to the same file.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Log {
    /// Creates an empty log, over an earlier one.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Self { path, file: Arc::new(Mutex::new(file)) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a child's output to the log. `on_line` gets each line without colours. The tasks end with the output.
    pub(crate) fn capture(&self, child: &mut Child, on_line: impl FnMut(&str) + Send + 'static) -> [JoinHandle<()>; 2] {
        let on_line = Arc::new(Mutex::new(on_line));
        let (stdout, stderr) = child.take_output().unzip();
        [self.copy(stdout, Arc::clone(&on_line)), self.copy(stderr, on_line)]
    }

    fn copy<R, F>(&self, source: Option<R>, on_line: Arc<Mutex<F>>) -> JoinHandle<()>
    where
        R: AsyncRead + Unpin + Send + 'static,
        F: FnMut(&str) + Send + 'static,
    {
        let file = Arc::clone(&self.file);
        tokio::spawn(async move {
            let Some(source) = source else { return };
            let mut lines = BufReader::new(source);
            let mut line = Vec::new();
            // Reads bytes: an error on invalid UTF-8 would leave the pipe full and block the child.
            while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
                let text = String::from_utf8_lossy(&line);
                (*on_line.lock().unwrap_or_else(PoisonError::into_inner))(without_colours(&text).trim_end());
                line.clear();
            }
        })
    }
}
