//! Work after the answer, in a process that is frozen between events as Lambda freezes it.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    api_key::ApiKey,
    id::{ChatId, ConnectionId, UserId},
    store::{Connection, Pass},
    time::Timestamp,
};
use tests::{Lambda, Stack, eventually};

const LONG: Duration = Duration::from_secs(900);

/// A socket of a new chat whose answers come at twenty tokens a second, and the event of a message on it.
async fn message(stack: &Stack, name: &str, content: &str) -> Value {
    let tenant = stack.tenant(name).await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@20" } })).await;
    let pass = Pass {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::parse(&chat).expect("a chat"),
    };
    let id = ConnectionId::from_gateway(format!("{name}="));
    let connection = Connection::open(id, pass, Timestamp::now());
    stack.connections().put(&connection).await.expect("the table answers");
    stack.connections().note_greeted(&connection).await.expect("the table answers");
    event(name, content)
}

fn event(name: &str, content: &str) -> Value {
    json!({
        "requestContext": {
            "routeKey": "$default", "eventType": "MESSAGE", "connectionId": format!("{name}="), "requestId": "r",
            "connectedAt": 0, "requestTimeEpoch": 0, "messageId": "m",
        },
        "body": json!({ "content": content }).to_string(),
        "isBase64Encoded": false,
    })
}

fn ends(posted: &[Value]) -> usize {
    posted.iter().filter(|event| event["type"] == "message_stream_ended").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_whole_although_the_process_is_frozen_between_events() {
    let stack = Stack::shared();
    let first = message(stack, "frozen", "a b c d e f g h i j").await;
    let lambda = Lambda::start(stack, "ws-message", LONG, &[]).await;
    lambda.send(first);
    let answers = lambda.answers(1).await;
    assert_eq!(answers[0]["statusCode"], 200);
    assert_eq!(ends(&lambda.posted_so_far()), 0, "the answer does not wait for the stream");
    let posted = lambda.posted("message_stream_ended").await;
    assert_eq!(posted.last().expect("an end")["content"], "You said: a b c d e f g h i j");

    // Two in a row: the second is taken when the first is done.
    lambda.send(event("frozen", "once more"));
    lambda.send(event("frozen", "and again"));
    lambda.answers(3).await;
    eventually("all three have ended", async || ends(&lambda.posted_so_far()) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_mechanism_the_stream_is_cut() {
    let stack = Stack::shared();
    let first = message(stack, "cut", "a b c d e f g h i j").await;
    let lambda = Lambda::start(stack, "ws-message", LONG, &[("AFTER_ANSWER", "detached")]).await;
    lambda.send(first);
    lambda.answers(1).await;
    // Three times as long as the stream takes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ends(&lambda.posted_so_far()), 0, "this test would not notice if nothing froze the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_answered_and_the_next_one_works() {
    let stack = Stack::shared();
    let good = message(stack, "after a failure", "Hello").await;
    let lambda = Lambda::start(stack, "ws-message", LONG, &[]).await;
    lambda.send(json!({ "nonsense": true }));
    lambda.send(good);
    lambda.answers(2).await;
    let posted = lambda.posted("message_stream_ended").await;
    assert_eq!(posted.last().expect("an end")["content"], "You said: Hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_meets_the_deadline_is_dropped_and_does_not_come_back() {
    let stack = Stack::shared();
    let long = message(stack, "deadline", &"word ".repeat(200)).await;
    let lambda = Lambda::start(stack, "ws-message", Duration::from_secs(2), &[]).await;
    lambda.send(long);
    lambda.posted("message_stream_token").await;
    // The next event is taken only when the first is over, long before its ten seconds of text are.
    lambda.send(json!({ "nonsense": true }));
    lambda.answers(2).await;
    let before = lambda.posted_so_far().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(lambda.posted_so_far().len(), before, "nothing of the first is posted in the time of the second");
}
