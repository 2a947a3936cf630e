//! The local stack restarts its functions and leaves no process behind.

use std::process::{Command, Stdio};

use reqwest::StatusCode;
use tests::{Options, Stack, eventually};

#[tokio::test]
async fn killed_function_is_restarted() {
    // Its own stack: a request in flight at the kill gets no response.
    let stack = Stack::start(&Options::binaries());
    let tenant = stack.tenant("supervision").await;
    let chat = tenant.chat("u").await;
    assert!(signal("-9", stack.function_pid("get-chat")));
    stack.wait_for_restart("get-chat");
    assert_eq!(tenant.get(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn killed_stack_leaves_no_process() {
    for signal_name in ["-9", "-INT", "-TERM"] {
        let stack = Stack::start(&Options::binaries());
        let pids = stack.pids();
        assert!(pids.len() > 10, "{pids:?}");
        assert!(signal(signal_name, stack.pid()));
        eventually("all processes have ended", async || !pids.iter().any(|pid| runs(*pid))).await;
    }
}

/// Whether a process runs; a zombie does not.
fn runs(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps runs").stdout;
    state.first().is_some_and(|state| *state != b'Z')
}

/// Sends a signal to a process; false if it does not exist.
fn signal(name: &str, pid: u32) -> bool {
    let pid = pid.to_string();
    Command::new("kill").args([name, &pid]).stderr(Stdio::null()).status().expect("kill runs").success()
}
