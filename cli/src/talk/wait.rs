//! Waits that say that they take long, and that Ctrl-C ends.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::{signal::ctrl_c, time::sleep};

use crate::terminal::Terminal;

const LONG: Duration = Duration::from_secs(3);

/// Waits for a response of the API.
pub(super) async fn response<T>(work: impl Future<Output = Result<T>>, terminal: &Terminal) -> Result<T> {
    let mut work = Box::pin(work);
    let long = async {
        sleep(LONG).await;
        terminal.warning("no response yet, still waiting; Ctrl-C gives up");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = &mut work => result,
        () = long => unreachable!("it has no end"),
        _ = ctrl_c() => Err(anyhow!("interrupted")),
    }
}
