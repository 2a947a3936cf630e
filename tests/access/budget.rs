//! The budget of a tenant over the API: generations at once, messages a minute.

use serde_json::{Value, json};
use shared::domain::{
    budget::{BudgetOverrides, TokenQuota},
    error::Code,
    time::Timestamp,
};
use tests::{Stack, Tenant, eventually};

use crate::error_snapshots::assert_event;

/// A tenant with limits of its own.
async fn tenant(name: &str, limits: BudgetOverrides) -> Tenant {
    let tenant = Stack::shared().tenant(name).await;
    Stack::shared().budgets().set_limits(&tenant.id, limits).await.expect("DynamoDB responds");
    tenant
}

/// A chat whose answers stream for minutes.
async fn slow_chat(tenant: &Tenant) -> String {
    tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@2" } })).await
}

fn long_message() -> Value {
    json!({ "content": "word ".repeat(1200) })
}

async fn running(tenant: &Tenant) -> usize {
    Stack::shared().budgets().status(&tenant.id, Timestamp::now()).await.expect("DynamoDB responds").running
}

async fn total(tenant: &Tenant, chat: &str) -> Value {
    tenant.get(&format!("/api/v1/chats/{chat}/messages?limit=1")).await.body["total"].clone()
}

#[tokio::test]
async fn generation_beyond_the_limit_is_refused_even_if_the_sockets_of_the_others_are_closed() {
    let tenant = tenant("generations", BudgetOverrides { generations: Some(2), ..BudgetOverrides::default() }).await;
    let (one, two, three) = (slow_chat(&tenant).await, slow_chat(&tenant).await, slow_chat(&tenant).await);
    let mut cancellable = Value::Null;
    for chat in [&one, &two] {
        let mut socket = tenant.connect(chat, "u").await;
        socket.send(&long_message()).await;
        cancellable = socket.next_of("message_stream_started").await["message_id"].clone();
        socket.close().await;
    }
    let mut socket = tenant.connect(&three, "u").await;
    socket.send(&long_message()).await;
    assert_event(Code::GenerationLimitExceeded, &socket.next_of("error").await);
    assert_eq!(total(&tenant, &three).await, 0, "the refused message is not stored");
    assert_eq!(running(&tenant).await, 2);

    // A client that sees the end may send its next message.
    let mut canceller = tenant.connect(&two, "u").await;
    canceller.send(&json!({ "type": "cancel", "message_id": cancellable })).await;
    canceller.next_of("message_stream_ended").await;
    socket.send(&long_message()).await;
    socket.next_of("message_stream_started").await;
    for chat in [&one, &three] {
        tenant.delete(&format!("/api/v1/chats/{chat}")).await;
    }
    eventually("the generations of deleted chats have released their slots", async || running(&tenant).await == 0)
        .await;
}

#[tokio::test]
async fn regeneration_counts_as_a_generation_and_as_a_message() {
    let limits = BudgetOverrides { generations: Some(1), messages_per_minute: Some(3), ..BudgetOverrides::default() };
    let tenant = tenant("regenerations", limits).await;
    let (chat, other) = (tenant.chat("u").await, slow_chat(&tenant).await);
    let mut socket = tenant.connect(&chat, "u").await;
    let answer = socket.say("Hello").await.last().expect("an end")["message_id"].clone();
    let mut busy = tenant.connect(&other, "u").await;
    busy.send(&long_message()).await;
    let streaming = busy.next_of("message_stream_started").await["message_id"].clone();
    let regenerate = json!({ "type": "regenerate", "message_id": answer });
    socket.send(&regenerate).await;
    assert_eq!(socket.next_of("error").await["error"]["code"], "GENERATION_LIMIT_EXCEEDED");
    busy.send(&json!({ "type": "cancel", "message_id": streaming })).await;
    busy.next_of("message_stream_ended").await;
    socket.send(&regenerate).await;
    let regenerated = socket.next_of("message_stream_ended").await["message_id"].clone();
    socket.send(&json!({ "type": "regenerate", "message_id": regenerated })).await;
    assert_eq!(socket.next_of("error").await["error"]["code"], "MESSAGE_RATE_EXCEEDED", "the fourth of the minute");
}

#[tokio::test]
async fn message_beyond_the_rate_of_a_minute_is_refused_for_its_tenant_alone() {
    let limits = BudgetOverrides { messages_per_minute: Some(3), ..BudgetOverrides::default() };
    let (limited, free) = (tenant("message rate", limits).await, Stack::shared().tenant("other rate").await);
    let (chat, free_chat) = (limited.chat("u").await, free.chat("u").await);
    let (mut one, mut two) = (limited.connect(&chat, "u").await, limited.connect(&chat, "u").await);
    for socket in [&mut one, &mut two] {
        socket.say("Hello").await;
    }
    one.say("Hello").await;
    two.send(&json!({ "content": "one too many" })).await;
    assert_event(Code::MessageRateExceeded, &two.next_of("error").await);
    assert_eq!(total(&limited, &chat).await, 6, "the refused message is not stored");
    free.connect(&free_chat, "u").await.say("Hello").await;
}

#[tokio::test]
async fn message_that_starts_no_generation_releases_its_slot() {
    let tenant = Stack::shared().tenant("released slots").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let message = json!({ "content": "Hello", "client_message_id": "once" });
    socket.ask(&message).await;
    // A duplicate, an unknown message, a malformed id.
    socket.send(&message).await;
    socket.next_of("message_received").await;
    for id in ["msg_unknown", ""] {
        socket.send(&json!({ "type": "regenerate", "message_id": id })).await;
        socket.next_of("error").await;
    }
    eventually("all slots are released", async || running(&tenant).await == 0).await;
}

#[tokio::test]
async fn message_beyond_the_quota_of_tokens_is_refused_until_the_quota_is_raised() {
    let quota = |tokens| BudgetOverrides { tokens_per_day: Some(tokens), ..BudgetOverrides::default() };
    let tenant = tenant("token quota", quota(TokenQuota::tokens(100))).await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "max_tokens": 20 } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    // The echo counts words: two of the message, and those of "You said: Hello there".
    let usage = socket.say("Hello there").await.last().expect("an end")["usage"].clone();
    let used = || async {
        Stack::shared().budgets().status(&tenant.id, Timestamp::now()).await.expect("DynamoDB responds").tokens_of_day
    };
    let expected =
        usage["input_tokens"].as_u64().expect("a number") + usage["output_tokens"].as_u64().expect("a number");
    assert_eq!(used().await, expected);

    socket.send(&json!({ "content": "word ".repeat(100) })).await;
    let never = socket.next_of("error").await["error"]["details"].clone();
    assert_eq!((&never["limit"], &never["period"], &never["retryable"]), (&json!(100), &json!("day"), &json!(false)));

    let slow = tenant.chat_with(&json!({ "user_id": "u", "config": { "max_tokens": 60, "model": "echo@2" } })).await;
    let mut slow_socket = tenant.connect(&slow, "u").await;
    slow_socket.send(&json!({ "content": "word ".repeat(12) })).await;
    let started = slow_socket.next_of("message_stream_started").await;
    socket.send(&json!({ "content": "one too many" })).await;
    assert_event(Code::QuotaExceeded, &socket.next_of("error").await);
    assert_eq!(total(&tenant, &chat).await, 2, "the refused messages are not stored");

    slow_socket.send(&json!({ "type": "cancel", "message_id": started["message_id"] })).await;
    let ended = slow_socket.next_of("message_stream_ended").await;
    assert_eq!(ended["usage"]["estimated"], true, "the agent reports tokens only at its end: {ended}");
    socket.say("What is reserved is free again").await;

    Stack::shared().budgets().set_limits(&tenant.id, quota(TokenQuota::NONE)).await.expect("DynamoDB responds");
    socket.send(&json!({ "content": "word ".repeat(100) })).await;
    socket.next_of("message_stream_ended").await;
}
