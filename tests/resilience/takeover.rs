//! Takeover: a generation whose owner is gone is ended by the next command or message.

use serde_json::{Value, json};
use shared::{
    domain::{
        budget::{BudgetLimits, BudgetOverrides, GenerationSlot, Reservation, TokenQuota},
        generation::GenerationRequest,
        id::ChatId,
        time::Timestamp,
    },
    storage::{AppendResult, BudgetAdmission, ChatPosition, NewMessage},
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

/// A tenant whose processes died would stay at its limit until its slots expire.
#[tokio::test]
async fn tenant_at_its_limit_gets_back_the_slots_of_dead_owners() {
    let stack = Stack::shared();
    let tenant = stack.tenant("limit of the dead").await;
    let limits = BudgetOverrides { generations: Some(2), ..BudgetOverrides::default() };
    stack.budgets().set_limits(&tenant.id, limits).await.expect("DynamoDB responds");
    let limits = BudgetLimits {
        generations: 2,
        messages_per_minute: 10,
        tokens_per_day: TokenQuota::NONE,
        tokens_per_month: TokenQuota::NONE,
    };
    let started = Timestamp::from_millis(Timestamp::now().as_millis() - 30_000);
    let (dead, alive) = (tenant.chat("u").await, tenant.chat("u").await);
    for chat in [&dead, &alive] {
        let id = ChatId::parse(chat).expect("an id");
        let reservation = Reservation { slot: GenerationSlot::new(started), tokens: 10 };
        let admitted = stack.budgets().admit((&tenant.id, &id), reservation, limits, started).await;
        assert_eq!(admitted.expect("DynamoDB responds"), BudgetAdmission::Admitted);
        let generation = GenerationRequest { model: "test", input_tokens: 1, reservation: Some(reservation) };
        let new = NewMessage { generation, ..new_message("Hello") };
        let appended = stack.messages().append(&tenant.id, &id, ChatPosition::default(), new, started).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let lease = stack.generations().lease(&tenant.id, &id, &exchange.generation);
        let saved_at = if chat == &dead { started } else { Timestamp::now() };
        assert!(lease.save("The saved text", saved_at).await.expect("DynamoDB responds"));
    }

    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let mut of_dead = tenant.connect(&dead, "u").await;
    socket.send(&json!({ "content": "Hello" })).await;
    assert_eq!(socket.next_of("error").await["error"]["code"], "GENERATION_LIMIT_EXCEEDED");
    assert_eq!(of_dead.next_of("message_stream_ended").await["content"], "The saved text");
    assert_eq!(stored(&tenant, &dead).await[1]["status"], "interrupted");
    socket.say("Hello").await;
    assert_eq!(stored(&tenant, &alive).await[1]["status"], "streaming", "its owner renewed the lease");
}
