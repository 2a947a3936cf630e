//! Work after the response, in a process that is frozen between events as on Lambda.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{
    id::{ChatId, ConnectionId},
    time::Timestamp,
};
use tests::{LambdaRuntime, Stack, Tenant, eventually, frame_event};

const LONG: Duration = Duration::from_secs(900);

/// Stores a connection of a new chat with 20 tokens a second; returns the event of a message on it.
async fn message(stack: &Stack, name: &str, content: &str) -> Value {
    let tenant = stack.tenant(name).await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@20" } })).await;
    connection(stack, &tenant, &chat, name).await;
    event(name, content)
}

/// Stores a connection; returns its id.
async fn connection(stack: &Stack, tenant: &Tenant, chat: &str, name: &str) -> String {
    let chat = ChatId::parse(chat).expect("a chat");
    stack.open_connection(tenant, &format!("{name}="), chat).await;
    name.to_owned()
}

/// The event of a message.
fn event(name: &str, content: &str) -> Value {
    frame(name, &json!({ "content": content }))
}

fn frame(name: &str, frame: &Value) -> Value {
    frame_event(&ConnectionId::from_gateway(format!("{name}=")), Timestamp::now(), frame)
}

fn ends(posted: &[Value]) -> usize {
    posted.iter().filter(|event| event["type"] == "message_stream_ended").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn generation_completes_although_the_process_is_frozen_between_events() {
    let stack = Stack::shared();
    let first = message(stack, "frozen", "a b c d e f g h i j").await;
    let lambda = LambdaRuntime::start(stack, "ws-message", LONG, &[]).await;
    lambda.send(first);
    let responses = lambda.responses(1).await;
    assert_eq!(responses[0]["statusCode"], 200);
    assert_eq!(ends(&lambda.posted_so_far()), 0, "the response does not wait for the generation");
    let posted = lambda.posted("message_stream_ended").await;
    assert_eq!(posted.last().expect("an end")["content"], "You said: a b c d e f g h i j");

    // The second of two events starts after the work of the first.
    lambda.send(event("frozen", "once more"));
    lambda.send(event("frozen", "and again"));
    lambda.responses(3).await;
    eventually("all three have ended", async || ends(&lambda.posted_so_far()) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_work_is_frozen_with_the_process() {
    let stack = Stack::shared();
    let first = message(stack, "cut", "a b c d e f g h i j").await;
    let lambda = LambdaRuntime::start(stack, "ws-message", LONG, &[("AFTER_RESPONSE", "detached")]).await;
    lambda.send(first);
    lambda.responses(1).await;
    // Three times as long as the generation takes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ends(&lambda.posted_so_far()), 0, "the process is not frozen");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_after_a_failed_event_is_handled() {
    let stack = Stack::shared();
    let good = message(stack, "after a failure", "Hello").await;
    let lambda = LambdaRuntime::start(stack, "ws-message", LONG, &[]).await;
    lambda.send(json!({ "unknown": true }));
    lambda.send(good);
    lambda.responses(2).await;
    let posted = lambda.posted("message_stream_ended").await;
    assert_eq!(posted.last().expect("an end")["content"], "You said: Hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn generation_ends_with_length_before_the_deadline() {
    let stack = Stack::shared();
    let long = message(stack, "deadline", &"word ".repeat(2_000)).await;
    let lambda = LambdaRuntime::start(stack, "ws-message", Duration::from_secs(7), &[]).await;
    lambda.send(long);
    lambda.posted("message_stream_token").await;
    // The next event is handled after the first.
    lambda.send(event("deadline", "Hello"));
    lambda.responses(2).await;
    let posted = lambda.posted("message_stream_ended").await;
    let end = posted.iter().find(|event| event["type"] == "message_stream_ended").expect("an end");
    assert_eq!(end["finish_reason"], "length");
    let content = end["content"].as_str().expect("text");
    assert!(content.starts_with("You said: word word ") && content.len() < 2_000, "{content}");
    let tokens = posted.iter().filter(|event| event["message_id"] == end["message_id"]);
    let joined: String = tokens.filter_map(|event| event["token"].as_str()).collect();
    assert_eq!(joined, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_at_the_deadline_is_dropped_and_does_not_continue_in_the_next_event() {
    let stack = Stack::shared();
    let first = message(stack, "cut off", "Hello").await;
    // All posts fail, so the generation cannot send its end.
    let lambda = LambdaRuntime::start(stack, "ws-message", Duration::from_secs(6), &[]).await;
    lambda.refuse_posts(true);
    lambda.send(first);
    lambda.responses(1).await;
    lambda.send(event("cut off", "again"));
    lambda.responses(2).await;
    lambda.refuse_posts(false);
    let posted = lambda.posted("message_stream_ended").await;
    let received: Vec<_> = posted.iter().filter(|event| event["type"] == "message_received").collect();
    assert_eq!(received.len(), 1, "the work of the first event does not continue: {posted:#?}");
    assert_eq!(received[0]["content"], "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_panicking_handler_is_done_and_the_next_event_is_handled() {
    let lambda = LambdaRuntime::start(Stack::shared(), "examples/panics", LONG, &[]).await;
    for number in 1..=2 {
        lambda.send(event("panics", "x"));
        let responses = lambda.responses(number).await;
        assert_eq!(responses[number - 1]["statusCode"], 500);
        eventually("the work is done", async || lambda.posted_so_far().len() == number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_owner_posts_nothing_after_a_takeover() {
    let stack = Stack::shared();
    let tenant = stack.tenant("resumed owner").await;
    let body = json!({ "user_id": "u", "config": { "model": "echo@2" } });
    let chat = tenant.chat_with(&body).await;
    let (one, other) =
        (connection(stack, &tenant, &chat, "one").await, connection(stack, &tenant, &chat, "other").await);
    let first = LambdaRuntime::start(stack, "ws-message", LONG, &[]).await;
    first.send(event(&one, &"word ".repeat(200)));
    let posted = first.posted("message_stream_token").await;
    first.stop();
    let stopped = json!(Timestamp::now());
    let message_id = posted.last().expect("a token")["message_id"].clone();
    let before = first.posted_so_far().len();

    let second = LambdaRuntime::start(stack, "ws-message", LONG, &[]).await;
    second.send(frame(&other, &json!({ "type": "resume", "message_id": message_id, "offset": 0 })));
    let posted = second.posted("message_stream_ended").await;
    let end = posted.iter().find(|event| event["type"] == "message_stream_ended").expect("an end");
    assert_eq!(end["finish_reason"], "error");

    first.resume();
    // The ping is handled after the first event.
    first.send(frame(&one, &json!({ "type": "ping" })));
    let mut after = first.posted("pong").await.split_off(before);
    // Posts in flight at the stop may still arrive.
    after.retain(|event| event["timestamp"].as_str() > stopped.as_str());
    assert!(after.iter().all(|event| event["type"] == "pong") && !after.is_empty(), "{after:#?}");
    let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"][1].clone();
    assert_eq!((&stored["status"], &stored["message_id"]), (&json!("interrupted"), &message_id));
}
