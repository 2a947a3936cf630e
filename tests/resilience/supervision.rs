//! Functions that die, and stacks that do.

use std::process::{Command, Stdio};

use reqwest::StatusCode;
use tests::{Options, Stack, eventually};

#[tokio::test]
async fn a_function_that_dies_is_started_again() {
    // A stack of its own, since a request that the function dies on gets no answer.
    let stack = Stack::start(&Options::binaries());
    let tenant = stack.tenant("supervision").await;
    let chat = tenant.chat("u").await;
    assert!(signal("-9", stack.function_pid("get-chat")));
    stack.wait_for_restart("get-chat");
    assert_eq!(tenant.get(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stack_that_is_killed_leaves_no_process_behind() {
    for how in ["-9", "-INT", "-TERM"] {
        let stack = Stack::start(&Options::binaries());
        let pids = stack.pids();
        assert!(pids.len() > 10, "{pids:?}");
        assert!(signal(how, stack.pid()));
        eventually("all processes are gone", async || !pids.iter().any(|pid| runs(*pid))).await;
    }
}

/// Whether a process runs; one that has ended and was not yet waited for does not.
fn runs(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps runs").stdout;
    state.first().is_some_and(|state| *state != b'Z')
}

/// Sends a signal to a process; false when there is none.
fn signal(name: &str, pid: u32) -> bool {
    let pid = pid.to_string();
    Command::new("kill").args([name, &pid]).stderr(Stdio::null()).status().expect("kill runs").success()
}
