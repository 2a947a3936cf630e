//! The black-box tests of the suite on the deployed stack.

use std::process::Stdio;

use serde_json::json;
use tests::Options;

use crate::emulator::{Deployed, Emulator};

/// Tests that the emulator cannot run, with the reason.
const SKIPPED: [(&str, &str); 5] = [
    ("hundred_of_a_thousand_simultaneous_requests", "each simultaneous call starts a process, without a limit"),
    ("fifty_of_two_hundred_simultaneous_connects", "the same"),
    ("eleventh_frame_in_a_second", "the frames of a socket are handled one after the other, too slowly"),
    ("four_generations_of_a_chat", "the same: the first may have ended before the fourth starts"),
    ("cors_preflight", "the emulator responds itself, with 403 without an origin"),
];

/// Policies that these tests do not need, with the case that does.
const UNUSED: [(&str, &str); 1] = [(
    "WsConnectRole: execute-api:ManageConnections on WebSocketApi/live/DELETE/@connections/*",
    "a chat is deleted, or a tenant suspended, between the handshake and the first event: connect_races.rs",
)];

#[tokio::test]
#[ignore = "it takes minutes; .ci/full runs it"]
#[expect(clippy::print_stdout, reason = "the count is printed")]
async fn black_box_tests_succeed_and_need_every_policy() {
    let emulator = Emulator::start().await;
    let stack = emulator.deploy("chat", &[]).await;
    assert!(run_black_box_tests(&emulator, &stack).await, "see the output above");

    let used = emulator.policies(&stack).await;
    println!("the functions used {} actions on resources", used["used"]);
    assert_eq!(used["denied"], json!([]), "actions that the policies lack");
    let unused: Vec<&str> =
        used["unused"].as_array().expect("a list").iter().filter_map(|line| line.as_str()).collect();
    let expected: Vec<&str> = UNUSED.iter().map(|(policy, _)| *policy).collect();
    assert_eq!(unused, expected, "actions that no function needs");
}

async fn run_black_box_tests(emulator: &Emulator, stack: &Deployed) -> bool {
    let Options { workspace, target, .. } = Options::binaries();
    tokio::process::Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--test", "suite", "black_box", "--", "--test-threads", "4"])
        .args(SKIPPED.iter().flat_map(|(test, _)| ["--skip", test]))
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target)
        .envs(emulator.variables())
        .envs([("API_URL", &stack.rest_url), ("WS_URL", &stack.websocket_url), ("STACK", &stack.name)])
        // The emulator knows only this status for a refused handshake.
        .env("REFUSAL", "403")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .expect("cargo runs")
        .success()
}
