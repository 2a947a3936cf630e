//! Functions that die.

use reqwest::StatusCode;
use tests::{Options, Stack};

#[tokio::test]
async fn a_function_that_dies_is_started_again() {
    // A stack of its own, since a request that the function dies on gets no answer.
    let stack = Stack::start(&Options::binaries());
    let tenant = stack.tenant("supervision").await;
    let chat = tenant.chat("u").await;
    let pid = stack.function_pid("get-chat").to_string();
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill runs");
    assert!(killed.success());
    stack.wait_for_restart("get-chat");
    assert_eq!(tenant.get(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::OK);
}
