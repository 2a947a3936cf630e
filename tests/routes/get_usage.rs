//! `GET /api/v1/usage`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::domain::{day::Day, time::Timestamp};
use tests::{Stack, Tenant, eventually};

async fn usage<Id: Clone>(tenant: &Tenant<Id>, query: &str) -> Value {
    let response = tenant.get(&format!("/api/v1/usage{query}")).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    response.body
}

fn counts(messages: u64, generations: u64, estimated: u64, input: u64, output: u64) -> Value {
    json!({
        "messages": messages,
        "generations": generations,
        "estimated_generations": estimated,
        "input_tokens": input,
        "output_tokens": output,
    })
}

fn with(mut counts: Value, name: &str, value: &str) -> Value {
    counts[name] = value.into();
    counts
}

#[tokio::test]
async fn usage_of_a_tenant_is_grouped_by_day_model_or_user() {
    let (tenant, other) = (Stack::shared().tenant("usage").await, Stack::shared().tenant("other usage").await);
    let chat = tenant.chat_with(&json!({ "user_id": "ann", "config": { "model": "echo@1000" } })).await;
    let mut socket = tenant.connect(&chat, "ann").await;
    // The echo counts words: 2 in and "You said: Hello there" out.
    let answer = socket.say("Hello there").await.last().expect("an end")["message_id"].clone();
    socket.send(&json!({ "type": "regenerate", "message_id": answer })).await;
    socket.next_of("message_stream_ended").await;
    let bob = tenant.chat("bob").await;
    tenant.connect(&bob, "bob").await.say("Hi").await;

    let total = counts(2, 3, 0, 5, 11);
    // Counting follows the end.
    eventually("all generations are counted", async || usage(&tenant, "").await["total"] == total).await;
    let today = Day::of(Timestamp::now());
    let expected = json!({
        "from": today.first_of_month(), "to": today, "group_by": "day", "total": total,
        "usage": [with(total.clone(), "day", &today.to_string())],
    });
    assert_eq!(usage(&tenant, "").await, expected);
    let by_model = usage(&tenant, "?group_by=model").await;
    let (ann, bob) = (counts(1, 2, 0, 4, 8), counts(1, 1, 0, 1, 3));
    assert_eq!(by_model["usage"], json!([with(ann.clone(), "model", "echo@1000"), with(bob.clone(), "model", "echo")]));
    let by_user = usage(&tenant, "?group_by=user").await;
    assert_eq!(by_user["usage"], json!([with(ann, "user_id", "ann"), with(bob, "user_id", "bob")]));
    assert_eq!((&by_user["total"], &by_model["total"]), (&total, &total));

    let nothing = usage(&other, "").await;
    assert_eq!((&nothing["total"], &nothing["usage"]), (&counts(0, 0, 0, 0, 0), &json!([])), "{nothing}");
    let before = usage(&tenant, "?from=2020-01-01&to=2020-12-31").await;
    assert_eq!(before["usage"], json!([]));
}

#[tokio::test]
async fn cancelled_answer_counts_with_an_estimate() {
    let tenant = Stack::shared().tenant("cancelled usage").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@2" } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.send(&json!({ "content": "word ".repeat(50) })).await;
    let token = socket.next_of("message_stream_token").await;
    socket.send(&json!({ "type": "cancel", "message_id": token["message_id"] })).await;
    let used = socket.next_of("message_stream_ended").await["usage"].clone();
    let number = |name: &str| used[name].as_u64().expect("a number");
    let expected = counts(1, 1, 1, number("input_tokens"), number("output_tokens"));
    eventually("the generation is counted", async || usage(&tenant, "").await["total"] == expected).await;
    // 250 characters are 63 tokens, and each turn takes 4 more.
    assert_eq!(number("input_tokens"), 67);
    assert!((1..=20).contains(&number("output_tokens")), "{used}");
}

mod black_box {
    use tests::Api;

    use super::*;

    #[tokio::test]
    async fn invalid_days_and_groups_are_refused() {
        let tenant = Api::shared().tenant("usage parameters").await;
        for query in
            ["from=2026-02-30", "from=2026-02-02&to=2026-02-01", "from=2024-01-01&to=2025-01-01", "group_by=chat"]
        {
            let response = tenant.get(&format!("/api/v1/usage?{query}")).await;
            assert_eq!(response.status, StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(response.body["error"]["code"], "INVALID_PARAMETER", "{query}");
        }
        let response = tenant.get("/api/v1/usage?limit=1").await;
        assert_eq!(response.body["error"]["code"], "UNKNOWN_FIELD");
        let response = tenant.send(tenant.request(Method::POST, "/api/v1/usage")).await;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
