//! `cancel`, `resume` and `regenerate`: what a client wants of an answer.

use serde_json::{Value, json};
use shared::{
    domain::{id::ChatId, time::Timestamp},
    storage::{AppendResult, ChatPosition, NewMessage},
};
use tests::{Stack, Tenant};

use crate::outside::wishes::Reader;

async fn stored(tenant: &Tenant, chat: &str) -> Value {
    tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
}

#[tokio::test]
async fn the_answer_of_a_streamer_that_is_gone_ends_for_everyone_when_one_asks() {
    let stack = Stack::shared();
    for wish in ["resume", "cancel"] {
        let tenant = stack.tenant("gone streamer").await;
        let chat = tenant.chat("u").await;
        let id = ChatId::parse(&chat).expect("an id");
        let long_ago = Timestamp::from_millis(Timestamp::now().as_millis() - 30_000);
        let new = NewMessage { content: "Hello", client_id: None, model: "test" };
        let appended = stack.messages().append(&tenant.id, &id, ChatPosition::default(), new, long_ago).await;
        let AppendResult::Stored(exchange) = appended.expect("the table answers") else { panic!("not stored") };
        let lease = stack.generations().lease(&tenant.id, &id, &exchange.generation);
        assert!(lease.save("What came of it", long_ago).await.expect("the table answers"));

        let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let answer = json!(exchange.generation.message_id);
        let mut frame = json!({ "type": wish, "message_id": answer });
        let mut reader = Reader::new();
        if wish == "resume" {
            frame["offset"] = json!(5);
            "What ".clone_into(&mut reader.text);
        } else {
            "What came of it".clone_into(&mut reader.text);
        }
        one.send(&frame).await;
        let end = reader.read_to_end(&answer, &mut one).await;
        assert_eq!(reader.text, "What came of it");
        let (reason, status) = if wish == "resume" { ("error", "interrupted") } else { ("cancelled", "cancelled") };
        assert_eq!((&end["finish_reason"], &end["content"]), (&json!(reason), &json!(reader.text)));
        assert_eq!(other.next_of("message_stream_ended").await["finish_reason"], reason);
        assert_eq!(stored(&tenant, &chat).await[1]["status"], status);
        let line = stack.line_that("streamed", |line| line["tenant_id"] == tenant.id.as_str()).await;
        assert_eq!((&line["end"], &line["streams"]), (&json!("interrupted"), &json!(1)), "its process is gone: {line}");
    }
}
