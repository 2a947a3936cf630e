//! Takeover: a generation whose owner is gone is ended by the next command or message.

use serde_json::{Value, json};
use shared::{
    domain::{id::ChatId, time::Timestamp},
    storage::{AppendResult, ChatPosition},
};
use tests::{Stack, Tenant, new_message};

use crate::websocket::answer_reader::AnswerReader;

async fn stored(tenant: &Tenant, chat: &str) -> Value {
    tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
}

#[tokio::test]
async fn resume_or_cancel_takes_over_a_generation_whose_owner_is_gone() {
    let stack = Stack::shared();
    for command in ["resume", "cancel"] {
        let tenant = stack.tenant("owner gone").await;
        let chat = tenant.chat("u").await;
        let id = ChatId::parse(&chat).expect("an id");
        let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 30_000);
        let new = new_message("Hello");
        let appended = stack.messages().append(&tenant.id, &id, ChatPosition::default(), new, long_ago).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let lease = stack.generations().lease(&tenant.id, &id, &exchange.generation);
        assert!(lease.save("The saved text", long_ago).await.expect("DynamoDB responds"));

        let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let message_id = json!(exchange.generation.message_id);
        let mut frame = json!({ "type": command, "message_id": message_id });
        let mut reader = AnswerReader::starting_with(if command == "resume" { "The s" } else { "The saved text" });
        if command == "resume" {
            frame["offset"] = json!(5);
        }
        one.send(&frame).await;
        let end = reader.read_to_end(&message_id, &mut one).await;
        assert_eq!(reader.text, "The saved text");
        let (reason, status) = if command == "resume" { ("error", "interrupted") } else { ("cancelled", "cancelled") };
        assert_eq!((&end["finish_reason"], &end["content"]), (&json!(reason), &json!(reader.text)));
        assert_eq!(other.next_of("message_stream_ended").await["finish_reason"], reason);
        assert_eq!(stored(&tenant, &chat).await[1]["status"], status);
        let line = stack.line_that("generation ended", |line| line["tenant_id"] == tenant.id.as_str()).await;
        assert_eq!((&line["outcome"], &line["generations"]), (&json!("interrupted"), &json!(1)), "{line}");
    }
}

#[tokio::test]
async fn next_message_takes_over_expired_generations() {
    let stack = Stack::shared();
    let tenant = stack.tenant("four expired").await;
    let chat = tenant.chat("u").await;
    let id = ChatId::parse(&chat).expect("an id");
    let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 60_000);
    for _ in 0..4 {
        let new = new_message("Hello");
        let appended = stack.messages().append(&tenant.id, &id, ChatPosition::default(), new, long_ago).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let lease = stack.generations().lease(&tenant.id, &id, &exchange.generation);
        assert!(lease.save("The saved text", long_ago).await.expect("DynamoDB responds"));
    }
    let mut socket = tenant.connect(&chat, "u").await;
    assert_eq!(socket.next().await["active_streams"], json!([]), "none is running");
    socket.send(&json!({ "content": "Are you there?" })).await;
    let mut ends = Vec::new();
    while ends.len() < 5 {
        ends.push(socket.next_of("message_stream_ended").await);
    }
    let interrupted: Vec<_> = ends.iter().filter(|end| end["finish_reason"] == "error").collect();
    assert_eq!(interrupted.len(), 4);
    assert!(interrupted.iter().all(|end| end["content"] == "The saved text"));
    let listed = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone();
    let statuses: Vec<_> = (0..10).map(|seq| listed[seq]["status"].as_str().expect("a status")).collect();
    let (whole, cut) = ("complete", "interrupted");
    assert_eq!(statuses, [whole, cut, whole, cut, whole, cut, whole, cut, whole, whole]);
}
