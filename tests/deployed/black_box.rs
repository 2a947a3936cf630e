//! The tests of what strangers can see, on the deployed stack.

use std::process::Stdio;

use serde_json::json;
use tests::Options;

use crate::emulator::{Deployed, Emulator};

/// What the emulator cannot carry, with the reason.
const BEYOND_THE_EMULATOR: [(&str, &str); 5] = [
    ("of_a_thousand_requests_at_once", "each call at once is a process of its own, and there is no limit to them"),
    ("of_two_hundred_connects_at_once", "the same"),
    ("a_connection_may_say_ten_things_a_second", "a socket's messages are handled one by one, and no faster than that"),
    ("four_answers_at_once_in_a_chat", "the same: the first may be over when the fourth begins"),
    (
        "a_browser_that_asks_before_it_sends",
        "these questions are answered by the emulator itself, with 403 where no origin is named",
    ),
];

/// Policies that are for what does not happen in these tests, with what it is.
const FOR_BAD_DAYS: [(&str, &str); 1] = [(
    "WsConnectRole: execute-api:ManageConnections on WebSocketApi/live/DELETE/@connections/*",
    "a chat is deleted, or a tenant suspended, between the handshake and the first event",
)];

#[tokio::test]
#[ignore = "it takes minutes; .ci/full runs it"]
#[expect(clippy::print_stdout, reason = "how much was asked is worth a look")]
async fn see_the_same_as_on_the_local_stack_and_need_each_policy() {
    let emulator = Emulator::start().await;
    let stack = emulator.deploy("chat", &[]).await;
    assert!(black_box_tests_pass(&emulator, &stack).await, "what is above");

    let used = emulator.policies(&stack).await;
    println!("the functions used {} actions on resources", used["used"]);
    assert_eq!(used["denied"], json!([]), "the functions want more than their policies allow");
    let unused: Vec<&str> =
        used["unused"].as_array().expect("a list").iter().filter_map(|line| line.as_str()).collect();
    let expected: Vec<&str> = FOR_BAD_DAYS.iter().map(|(policy, _)| *policy).collect();
    assert_eq!(unused, expected, "the policies allow what no function wants");
}

async fn black_box_tests_pass(emulator: &Emulator, stack: &Deployed) -> bool {
    let Options { workspace, target, .. } = Options::binaries();
    tokio::process::Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--test", "suite", "black_box", "--", "--test-threads", "4"])
        .args(BEYOND_THE_EMULATOR.iter().flat_map(|(test, _)| ["--skip", test]))
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target)
        .envs(emulator.variables())
        .envs([("API_URL", &stack.rest_url), ("WS_URL", &stack.websocket_url), ("STACK", &stack.name)])
        // The emulator knows no other status for a handshake that $connect refuses.
        .env("REFUSAL", "403")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .expect("cargo runs")
        .success()
}
