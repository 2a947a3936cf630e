//! The deployed stack works, and the policies of its functions' roles are enforced.

use reqwest::StatusCode;

use crate::emulator::Emulator;

#[tokio::test]
async fn function_without_a_required_action_fails_and_others_work() {
    let emulator = Emulator::start().await;
    let stack = emulator.deploy("without-query", &["list-messages/dynamodb:Query"]).await;
    let tenant = emulator.api(&stack).tenant("without query").await;
    let chat = tenant.chat("u").await;
    let exchange = tenant.connect(&chat, "u").await.say("Hello").await;
    assert_eq!(exchange.last().expect("an end")["content"], "You said: Hello");
    let path = format!("/api/v1/chats/{chat}");

    let listed = tenant.get(&format!("{path}/messages")).await;
    assert_eq!((listed.status, listed.code()), (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"), "{}", listed.body);
    assert_eq!(tenant.get(&path).await.status, StatusCode::OK, "get-chat may query the same table");
}
