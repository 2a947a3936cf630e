//! The `openai` agent with a stub of an OpenAI-compatible endpoint. The name of a model selects its behaviour.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Options, Stack, Tenant, serve_model};

/// A text in the provider's errors that no client may see.
const SECRET: &str = "Incorrect API key provided: sk-secret";

/// A stack whose default agent calls the stub.
fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let mut options = Options::binaries();
        let url = serve_model(post(complete));
        let agent = ["--agent", "openai", "--openai-base-url", &url, "--model", "reports-input"];
        options.arguments.extend(agent.map(str::to_owned));
        let headers = json!({ "X-Title": "Chat" });
        options.arguments.extend(["--parameter".to_owned(), format!("OpenAiHeaders={headers}")]);
        options.arguments.extend(["--parameter", "AllowedModels=*"].map(str::to_owned));
        Stack::start(&options)
    })
}

/// The number of requests for each model.
fn requests() -> &'static Mutex<BTreeMap<String, usize>> {
    static REQUESTS: OnceLock<Mutex<BTreeMap<String, usize>>> = OnceLock::new();
    REQUESTS.get_or_init(Mutex::default)
}

fn request_count(model: &str) -> usize {
    requests().lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or_default()
}

async fn complete(headers: HeaderMap, request: String) -> Response<Body> {
    let request: Value = serde_json::from_str(&request).expect("a request is JSON");
    let model = request["model"].as_str().expect("a request has a model");
    *requests().lock().unwrap_or_else(PoisonError::into_inner).entry(model.to_owned()).or_default() += 1;
    let delta =
        |content: &str| event(&json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] }));
    let finish = |reason: &str| event(&json!({ "choices": [{ "delta": {}, "finish_reason": reason }] }));
    let half = [delta("half "), delta("an answer")];
    match model {
        "reports-input" => {
            let title = headers.get("x-title").and_then(|title| title.to_str().ok());
            let max_tokens = &request["max_tokens"];
            let input =
                json!({ "messages": request["messages"], "title": title, "max_tokens": max_tokens }).to_string();
            let (one, two) = input.split_at(input.len() / 2);
            let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 2 } });
            streamed([delta(one), delta(two), finish("stop"), event(&usage), "data: [DONE]\n\n".to_owned()], true)
        }
        "asked-once" => streamed([delta("once"), finish("stop")], true),
        "without-key" => refused(StatusCode::UNAUTHORIZED, "invalid_api_key"),
        "unknown" => refused(StatusCode::NOT_FOUND, "model_not_found"),
        "overloaded" => refused(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        "overloaded-once" if request_count(model) == 1 => refused(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        "overloaded-once" => streamed([delta("at last"), finish("stop")], true),
        "cut-off" => streamed(half, false),
        "overloaded-later" => {
            let [one, two] = half;
            streamed([one, two, event(&json!({ "error": { "code": 503, "message": SECRET } }))], true)
        }
        "filtered" => {
            let [one, two] = half;
            streamed([one, two, finish("content_filter")], true)
        }
        other => panic!("unknown model: {other}"),
    }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A stream of events, complete or cut before its end.
fn streamed(events: impl IntoIterator<Item = String>, is_complete: bool) -> Response<Body> {
    let events: Vec<_> = events.into_iter().map(Ok::<_, &str>).collect();
    let cut = (!is_complete).then_some(Err("the connection is cut"));
    // A pending body is flushed, so the events before the cut arrive.
    let events = stream::iter(events.into_iter().chain(cut)).then(async |event| {
        tokio::task::yield_now().await;
        event
    });
    Response::new(Body::from_stream(events))
}

fn refused(status: StatusCode, code: &str) -> Response<Body> {
    let error = json!({ "error": { "message": SECRET, "type": "error", "code": code } });
    let mut response = Response::new(Body::from(error.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("retry-after", "0".parse().expect("a header value"));
    response
}

async fn stored(tenant: &Tenant, chat: &str) -> Value {
    tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
}

/// Sends a message to `model`; returns the events and the stored answer.
async fn ask(model: &str) -> (Vec<Value>, Value) {
    let tenant = stack().tenant(model).await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": model } })).await;
    let events = tenant.connect(&chat, "u").await.say("Hello").await;
    let answer = stored(&tenant, &chat).await[1].clone();
    (events, answer)
}

/// Asserts the error of `model`, and that the text before it is kept.
async fn assert_failure(model: &str, code: &str, retryable: bool, kept: &str) {
    let (events, answer) = ask(model).await;
    let error = events.iter().find(|event| event["type"] == "error").expect("an error event");
    assert_eq!((&error["error"]["code"], &error["error"]["details"]["retryable"]), (&json!(code), &json!(retryable)));
    assert_eq!(error["message_id"], answer["message_id"], "the error names the answer");
    let ended = events.last().expect("an end");
    assert_eq!((&ended["finish_reason"], &ended["content"]), (&json!("error"), &json!(kept)), "{model}");
    assert_eq!((&answer["status"], &answer["content"]), (&json!("failed"), &json!(kept)), "{model}");
    assert!(!json!(events).to_string().contains("sk-secret"), "the provider's text is not sent: {events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_sends_the_conversation_and_its_answer_is_streamed_and_stored() {
    let tenant = stack().tenant("conversation").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "system_prompt": "Be brief." } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    let first = socket.say("Hello").await;
    assert_eq!(first[1]["model"], "reports-input");
    let first = first.last().expect("an end")["content"].as_str().expect("text").to_owned();
    let ended = socket.say("And again").await.pop().expect("an end");

    let input: Value = serde_json::from_str(ended["content"].as_str().expect("text")).expect("this model answers JSON");
    let expected = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "Hello" },
        { "role": "assistant", "content": first },
        { "role": "user", "content": "And again" },
    ]);
    assert_eq!((&input["messages"], &input["title"]), (&expected, &json!("Chat")));
    assert_eq!(input["max_tokens"], 4096, "the cap of the template, since the chat has no limit");
    assert_eq!(
        (&ended["finish_reason"], &ended["usage"]),
        (&json!("stop"), &json!({ "input_tokens": 7, "output_tokens": 2 }))
    );
    let answer = stored(&tenant, &chat).await[3].clone();
    assert_eq!((&answer["content"], &answer["usage"]), (&ended["content"], &ended["usage"]));
    assert_eq!(answer["status"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_error_is_not_retried() {
    assert_failure("without-key", "AGENT_ERROR", false, "").await;
    assert_failure("unknown", "AGENT_ERROR", false, "").await;
    assert_eq!((request_count("without-key"), request_count("unknown")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_client_message_id_does_not_ask_the_model_again() {
    let tenant = stack().tenant("asked once").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "asked-once" } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    let frame = json!({ "content": "Hello", "client_message_id": "c1" });
    socket.send(&frame).await;
    let first = socket.next_of("message_received").await;
    socket.next_of("message_stream_ended").await;
    for _ in 0..5 {
        socket.send(&frame).await;
        assert_eq!(socket.next_of("message_received").await["message_id"], first["message_id"]);
    }
    assert_eq!(request_count("asked-once"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_retried_three_times_and_then_reported_as_retryable() {
    assert_failure("overloaded", "AGENT_ERROR", true, "").await;
    assert_eq!(request_count("overloaded"), 3);
    let (events, answer) = ask("overloaded-once").await;
    assert!(events.iter().all(|event| event["type"] != "error"), "the retry is invisible: {events:?}");
    assert_eq!((&answer["status"], &answer["content"]), (&json!("complete"), &json!("at last")));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_before_a_failure_is_kept_and_not_requested_again() {
    assert_failure("cut-off", "AGENT_ERROR", true, "half an answer").await;
    assert_failure("overloaded-later", "AGENT_ERROR", true, "half an answer").await;
    assert_failure("filtered", "AGENT_ERROR", false, "half an answer").await;
    assert_eq!((request_count("cut-off"), request_count("overloaded-later"), request_count("filtered")), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_can_select_another_agent() {
    let tenant = stack().tenant("choice").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "agent": "echo" } })).await;
    let ended = tenant.connect(&chat, "u").await.say("Hello").await.pop().expect("an end");
    assert_eq!(ended["content"], "You said: Hello");
}
