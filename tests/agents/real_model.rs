//! A real model, which llama.cpp's server runs on this machine.

use serde_json::{Value, json};
use tests::{Options, Socket, Stack};

/// A chat with deterministic answers.
fn chat() -> Value {
    json!({ "user_id": "u", "config": { "temperature": 0, "max_tokens": 40 } })
}

/// Sends a message; returns the events and the last one.
async fn say(socket: &mut Socket, content: &str) -> (Vec<Value>, Value) {
    let events = socket.say(content).await;
    let ended = events.last().expect("an end").clone();
    assert!(matches!(ended["finish_reason"].as_str(), Some("stop" | "length")), "{ended}");
    (events, ended)
}

/// The joined tokens.
fn streamed(events: &[Value]) -> String {
    let tokens = events.iter().filter(|event| event["type"] == "message_stream_token");
    tokens.map(|event| event["token"].as_str().expect("a token is text")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn model_sees_the_history_and_streams_its_answer() {
    let mut options = Options::binaries();
    options.arguments.extend(["--agent", "local-llm"].map(str::to_owned));
    let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await.expect("the stack starts");
    let tenant = stack.tenant("real model").await;
    let with_history = tenant.chat_with(&chat()).await;
    let mut socket = tenant.connect(&with_history, "u").await;
    let (events, first) = say(&mut socket, "The secret word is banana.").await;
    let started = &events[1];
    assert_eq!(started["model"], "SmolLM2-135M-Instruct");
    let tokens = events.iter().filter(|event| event["type"] == "message_stream_token").count();
    assert!(tokens > 1, "the answer arrives in several frames");

    let question = "What is the secret word?";
    let (events, second) = say(&mut socket, question).await;
    let answer = second["content"].as_str().expect("text");
    assert!(answer.to_lowercase().contains("banana"), "the model sees the history: {answer}");
    let messages = tenant.get(&format!("/api/v1/chats/{with_history}/messages")).await.body["messages"].clone();
    assert_eq!(messages[1]["content"], first["content"]);
    assert_eq!(messages[3]["content"], streamed(&events), "the stored answer is the streamed one");
    assert_eq!((&messages[3]["status"], &messages[3]["usage"]), (&"complete".into(), &second["usage"]));

    let without = tenant.chat_with(&chat()).await;
    let (_, fresh) = say(&mut tenant.connect(&without, "u").await, question).await;
    let answer = fresh["content"].as_str().expect("text");
    assert!(!answer.to_lowercase().contains("banana"), "without the history: {answer}");
    let tokens = |ended: &Value| ended["usage"]["input_tokens"].as_u64().expect("a count");
    assert!(tokens(&second) > tokens(&fresh) && tokens(&fresh) > 0, "{second} {fresh}");
}
