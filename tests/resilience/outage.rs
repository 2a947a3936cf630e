//! DynamoDB cannot be reached for a while: everybody is told so, and afterwards all goes on as if nothing had been.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Exposed, Heard, Socket, Tenant, Weather, eventually};

/// Longer than any request may take to be answered: the gateway would have answered before.
const LONG: Duration = Duration::from_secs(30);

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
async fn hears(socket: &mut Socket, kind: &str) -> Value {
    loop {
        match socket.next_within(LONG).await {
            Heard::Event(event) if event["type"] == kind => return event,
            Heard::Event(_) => {}
            silence => panic!("no {kind}, but {silence:?}"),
        }
    }
}

async fn outage(exposed: &Exposed, weather: Weather) {
    let tenant = exposed.stack.tenant("outage").await;
    // Longer than the outage, and shorter than the lease of its streamer would last without renewal.
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@10" } })).await;
    let doomed = tenant.chat("u").await;
    let mut streaming = tenant.connect(&chat, "u").await;
    let mut idle = tenant.connect(&chat, "u").await;
    let content = "word ".repeat(120);
    streaming.send(&json!({ "content": content })).await;
    hears(&mut streaming, "message_stream_token").await;
    hears(&mut idle, "message_stream_token").await;

    exposed.tables.turn(weather);
    let rest = join_all(requests(&tenant, &doomed).into_iter().map(|request| tenant.send(request)));
    let query = format!("api_key={}&user_id=u&chat_id={doomed}", tenant.key);
    let handshake = tenant.connect_with(&query, &[]);
    let speaking = async {
        idle.send(&json!({ "type": "ping" })).await;
        hears(&mut idle, "error").await
    };
    let (answers, refused, error) = tokio::join!(rest, handshake, speaking);
    for answer in &answers {
        assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"), "{answer:?}");
        assert!(answer.headers.contains_key("x-request-id"), "it is our answer, not the gateway's");
    }
    assert_eq!(refused.err(), Some(StatusCode::SERVICE_UNAVAILABLE), "before the gateway gives up on the function");
    assert_eq!(
        (&error["error"]["code"], &error["error"]["details"]["retryable"]),
        (&json!("UNAVAILABLE"), &json!(true))
    );

    exposed.calm();
    let end = hears(&mut streaming, "message_stream_ended").await;
    assert_eq!((&end["finish_reason"], &end["content"]), (&json!("stop"), &json!(format!("You said: {content}"))));
    idle.send(&json!({ "type": "ping" })).await;
    hears(&mut idle, "pong").await;
    // What was on its way may have been carried out, or not; now all of it is.
    for request in requests(&tenant, &doomed) {
        let answer = tenant.send(request).await;
        assert!(answer.status.is_success() || answer.code() == "CHAT_NOT_FOUND", "{answer:?}");
    }
    assert_eq!(tenant.get(&format!("/api/v1/chats/{doomed}")).await.code(), "CHAT_NOT_FOUND");
    let mut late = tenant.connect(&chat, "u").await;
    late.say("and now").await;
    eventually("both answers are stored whole", async || {
        let listed = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
        let statuses = listed["messages"].as_array().expect("messages").iter().map(|message| &message["status"]);
        listed["total"] == 4 && statuses.into_iter().all(|status| status == "complete")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_dynamodb_cannot_be_reached_everyone_is_told_so_and_afterwards_all_goes_on() {
    let exposed = Exposed::start(1).await;
    outage(&exposed, Weather::Away).await;
    outage(&exposed, Weather::Silent).await;
}
