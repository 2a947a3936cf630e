//! Waits that say that they take long, and that Ctrl-C ends.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::{signal::ctrl_c, time::sleep};

use crate::terminal::Terminal;

const LONG: Duration = Duration::from_secs(3);

/// Waits for a response of the API.
pub(super) async fn response<T>(work: impl Future<Output = Result<T>>, terminal: &Terminal) -> Result<T> {
    let mut work = Box::pin(work);
    let mut is_long = false;
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = sleep(LONG), if !is_long => {
                is_long = true;
                terminal.warning("no response yet, still waiting; Ctrl-C gives up");
            }
            _ = ctrl_c() => return Err(anyhow!("interrupted")),
        }
    }
}
