//! Asks an installed program for its version.

use tokio::process::Command;

/// Runs a program that exits at once, such as one with `--version`. Returns the first line of its stdout, or of its
/// stderr when stdout is empty; `None` if it cannot be started or fails.
pub(crate) async fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await.ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    output.status.success().then_some(line)
}
