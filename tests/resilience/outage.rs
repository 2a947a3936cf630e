//! An outage of DynamoDB: every operation responds `UNAVAILABLE`, and afterwards everything continues.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{FaultProfile, FaultyStack, Received, Socket, Tenant, eventually};

/// Longer than the gateway waits for a function.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One request of each function that reads or writes a table.
fn requests(tenant: &Tenant, chat: &str) -> Vec<reqwest::RequestBuilder> {
    let path = |rest: &str| format!("/api/v1/chats/{chat}{rest}");
    vec![
        tenant.request(Method::POST, "/api/v1/chats/").json(&json!({ "user_id": "u" })),
        tenant.request(Method::GET, "/api/v1/chats/user/u"),
        tenant.request(Method::GET, &path("")),
        tenant.request(Method::PATCH, &path("")).json(&json!({ "title": "changed" })),
        tenant.request(Method::GET, &path("/messages")),
        tenant.request(Method::POST, &path("/tickets")),
        tenant.request(Method::DELETE, &path("")),
    ]
}

/// The next event of this type.
async fn next_of(socket: &mut Socket, kind: &str) -> Value {
    loop {
        match socket.next_within(TIMEOUT).await {
            Received::Event(event) if event["type"] == kind => return event,
            Received::Event(_) => {}
            other => panic!("no {kind}: {other:?}"),
        }
    }
}

async fn outage(faulty: &FaultyStack, profile: FaultProfile) {
    let tenant = faulty.stack.tenant("outage").await;
    // The answer takes longer than the outage, but less than a lease lasts without renewal.
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@10" } })).await;
    let deleted = tenant.chat("u").await;
    let mut streaming = tenant.connect(&chat, "u").await;
    let mut idle = tenant.connect(&chat, "u").await;
    let content = "word ".repeat(120);
    streaming.send(&json!({ "content": content })).await;
    next_of(&mut streaming, "message_stream_token").await;
    next_of(&mut idle, "message_stream_token").await;

    faulty.tables.set_profile(profile);
    let rest = join_all(requests(&tenant, &deleted).into_iter().map(|request| tenant.send(request)));
    let query = format!("api_key={}&user_id=u&chat_id={deleted}", tenant.key);
    let handshake = tenant.connect_with(&query, &[]);
    let sending = async {
        idle.send(&json!({ "type": "ping" })).await;
        next_of(&mut idle, "error").await
    };
    let (responses, refused, error) = tokio::join!(rest, handshake, sending);
    for response in &responses {
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
        assert_eq!((response.status, response.code()), (status, code), "{response:?}");
        assert!(response.headers.contains_key("x-request-id"), "from the function, not the gateway");
    }
    assert_eq!(refused.err(), Some(StatusCode::SERVICE_UNAVAILABLE), "before the gateway's timeout");
    assert_eq!(
        (&error["error"]["code"], &error["error"]["details"]["retryable"]),
        (&json!("UNAVAILABLE"), &json!(true))
    );

    faulty.heal();
    let end = next_of(&mut streaming, "message_stream_ended").await;
    assert_eq!((&end["finish_reason"], &end["content"]), (&json!("stop"), &json!(format!("You said: {content}"))));
    idle.send(&json!({ "type": "ping" })).await;
    next_of(&mut idle, "pong").await;
    // Requests during the outage may or may not have been executed; now all are.
    for request in requests(&tenant, &deleted) {
        let response = tenant.send(request).await;
        assert!(response.status.is_success() || response.code() == "CHAT_NOT_FOUND", "{response:?}");
    }
    assert_eq!(tenant.get(&format!("/api/v1/chats/{deleted}")).await.code(), "CHAT_NOT_FOUND");
    let mut late = tenant.connect(&chat, "u").await;
    late.say("and now").await;
    eventually("both answers are complete", async || {
        let listed = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
        let statuses = listed["messages"].as_array().expect("messages").iter().map(|message| &message["status"]);
        listed["total"] == 4 && statuses.into_iter().all(|status| status == "complete")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_of_dynamodb_responds_unavailable_and_generations_continue_afterwards() {
    let faulty = FaultyStack::start(1).await;
    outage(&faulty, FaultProfile::Unreachable).await;
    outage(&faulty, FaultProfile::Silent).await;
}
