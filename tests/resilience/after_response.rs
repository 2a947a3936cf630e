//! Work after the answer, in a process that is frozen between events as Lambda freezes it.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    domain::{
        api_key::ApiKey,
        id::{ChatId, ConnectionId, UserId},
        time::Timestamp,
    },
    storage::{Connection, ConnectionGrant},
};
use tests::{Lambda, Stack, Tenant, eventually};

const LONG: Duration = Duration::from_secs(900);

/// A socket of a new chat whose answers come at twenty tokens a second, and the event of a message on it.
async fn message(stack: &Stack, name: &str, content: &str) -> Value {
    let tenant = stack.tenant(name).await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@20" } })).await;
    socket(stack, &tenant, &chat, name).await;
    event(name, content)
}

/// An open socket, which only the tables know of.
async fn socket(stack: &Stack, tenant: &Tenant, chat: &str, name: &str) -> String {
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::parse(chat).expect("a chat"),
    };
    let id = ConnectionId::from_gateway(format!("{name}="));
    let connection = Connection::open(id, grant, Timestamp::now());
    stack.connections().put(&connection).await.expect("the table answers");
    stack.connections().note_greeted(&connection).await.expect("the table answers");
    name.to_owned()
}

/// What a socket says.
fn event(name: &str, content: &str) -> Value {
    frame(name, &json!({ "content": content }))
}

fn frame(name: &str, frame: &Value) -> Value {
    json!({
        "requestContext": {
            "routeKey": "$default", "eventType": "MESSAGE", "connectionId": format!("{name}="), "requestId": "r",
            "connectedAt": 0, "requestTimeEpoch": 0, "messageId": "m",
        },
        "body": frame.to_string(),
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
    let lambda = Lambda::start(stack, "ws-message", LONG, &[("AFTER_RESPONSE", "detached")]).await;
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
async fn a_stream_that_nears_the_deadline_ends_in_order_and_what_came_is_kept() {
    let stack = Stack::shared();
    let long = message(stack, "deadline", &"word ".repeat(2_000)).await;
    let lambda = Lambda::start(stack, "ws-message", Duration::from_secs(7), &[]).await;
    lambda.send(long);
    lambda.posted("message_stream_token").await;
    // The next one is heard when the first is over.
    lambda.send(event("deadline", "Hello"));
    lambda.answers(2).await;
    let posted = lambda.posted("message_stream_ended").await;
    let end = posted.iter().find(|event| event["type"] == "message_stream_ended").expect("an end");
    assert_eq!(end["finish_reason"], "length");
    let said = end["content"].as_str().expect("text");
    assert!(said.starts_with("You said: word word ") && said.len() < 2_000, "{said}");
    let tokens = posted.iter().filter(|event| event["message_id"] == end["message_id"]);
    let joined: String = tokens.filter_map(|event| event["token"].as_str()).collect();
    assert_eq!(joined, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_meets_the_deadline_is_dropped_and_does_not_come_back() {
    let stack = Stack::shared();
    let first = message(stack, "cut off", "Hello").await;
    // Its socket takes nothing, so the stream cannot end in order.
    let lambda = Lambda::start(stack, "ws-message", Duration::from_secs(6), &[]).await;
    lambda.refuse_posts(true);
    lambda.send(first);
    lambda.answers(1).await;
    lambda.send(event("cut off", "again"));
    lambda.answers(2).await;
    lambda.refuse_posts(false);
    let posted = lambda.posted("message_stream_ended").await;
    let received: Vec<_> = posted.iter().filter(|event| event["type"] == "message_received").collect();
    assert_eq!(received.len(), 1, "the first is not taken up in the time of the second: {posted:#?}");
    assert_eq!(received[0]["content"], "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_function_that_panics_is_done_and_the_next_event_is_taken() {
    let lambda = Lambda::start(Stack::shared(), "examples/panics", LONG, &[]).await;
    for number in 1..=2 {
        lambda.send(event("panics", "x"));
        let answers = lambda.answers(number).await;
        assert_eq!(answers[number - 1]["statusCode"], 500);
        eventually("its work is done", async || lambda.posted_so_far().len() == number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamer_that_comes_back_after_another_has_ended_its_answer_says_nothing_more() {
    let stack = Stack::shared();
    let tenant = stack.tenant("comes back").await;
    let body = json!({ "user_id": "u", "config": { "model": "echo@2" } });
    let chat = tenant.chat_with(&body).await;
    let (one, other) = (socket(stack, &tenant, &chat, "one").await, socket(stack, &tenant, &chat, "other").await);
    let first = Lambda::start(stack, "ws-message", LONG, &[]).await;
    first.send(event(&one, &"word ".repeat(200)));
    let posted = first.posted("message_stream_token").await;
    first.stop();
    let stopped = json!(Timestamp::now());
    let answer = posted.last().expect("a token")["message_id"].clone();
    let said = first.posted_so_far().len();

    let second = Lambda::start(stack, "ws-message", LONG, &[]).await;
    second.send(frame(&other, &json!({ "type": "resume", "message_id": answer, "offset": 0 })));
    let told = second.posted("message_stream_ended").await;
    let end = told.iter().find(|event| event["type"] == "message_stream_ended").expect("an end");
    assert_eq!(end["finish_reason"], "error");

    first.go_on();
    // It is heard when the first event is over.
    first.send(frame(&one, &json!({ "type": "ping" })));
    let mut after = first.posted("pong").await.split_off(said);
    // What was on its way when the process was stopped may still arrive.
    after.retain(|event| event["timestamp"].as_str() > stopped.as_str());
    assert!(after.iter().all(|event| event["type"] == "pong") && !after.is_empty(), "{after:#?}");
    let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"][1].clone();
    assert_eq!((&stored["status"], &stored["message_id"]), (&json!("interrupted"), &answer));
}
