//! The tokio runtime of a program.

use anyhow::{Context, Result};
use tokio::runtime::Builder;

/// Runs a program's work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_multi_thread().enable_all().build().context("failed to start the async runtime")?;
    runtime.block_on(work)
}
