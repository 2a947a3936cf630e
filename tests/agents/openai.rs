//! Answers of a model behind an OpenAI-compatible endpoint, which a server of this test plays, and all the ways in
//! which they fail. The model's name says what it does.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Options, Stack, Tenant};

/// What a provider writes into its errors, and no client may ever see.
const SENTENCE: &str = "Incorrect API key provided: sk-secret";

/// A stack whose default agent asks the server of this test.
fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let mut options = Options::binaries();
        let url = start_provider();
        let agent = ["--agent", "openai", "--openai-base-url", &url, "--model", "patient"];
        options.arguments.extend(agent.map(str::to_owned));
        let headers = json!({ "X-Title": "Chat" });
        options.arguments.extend(["--parameter".to_owned(), format!("OpenAiHeaders={headers}")]);
        Stack::start(&options)
    })
}

/// Starts the provider on a thread of its own, since each test has its own runtime and ends with it.
fn start_provider() -> String {
    let (address, listens_at) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            address.send(listener.local_addr().expect("an address")).expect("the test waits");
            let router = Router::new().route("/v1/chat/completions", post(complete));
            axum::serve(listener, router).await.expect("it serves");
        });
    });
    format!("http://{}/v1", listens_at.recv().expect("it listens"))
}

/// How often each model was asked.
fn asked() -> &'static Mutex<BTreeMap<String, usize>> {
    static ASKED: OnceLock<Mutex<BTreeMap<String, usize>>> = OnceLock::new();
    ASKED.get_or_init(Mutex::default)
}

fn times_asked(model: &str) -> usize {
    asked().lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or_default()
}

async fn complete(headers: HeaderMap, question: String) -> Response<Body> {
    let question: Value = serde_json::from_str(&question).expect("a question is JSON");
    let model = question["model"].as_str().expect("a question names its model");
    *asked().lock().unwrap_or_else(PoisonError::into_inner).entry(model.to_owned()).or_default() += 1;
    let says =
        |content: &str| event(&json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] }));
    let ends = |reason: &str| event(&json!({ "choices": [{ "delta": {}, "finish_reason": reason }] }));
    let half = [says("half "), says("an answer")];
    match model {
        "patient" => {
            let title = headers.get("x-title").and_then(|title| title.to_str().ok());
            let told = json!({ "messages": question["messages"], "title": title }).to_string();
            let (one, two) = told.split_at(told.len() / 2);
            let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 2 } });
            streamed([says(one), says(two), ends("stop"), event(&usage), "data: [DONE]\n\n".to_owned()], true)
        }
        "without-key" => refused(StatusCode::UNAUTHORIZED, "invalid_api_key"),
        "unknown" => refused(StatusCode::NOT_FOUND, "model_not_found"),
        "overloaded" => refused(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        "overloaded-once" if times_asked(model) == 1 => refused(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        "overloaded-once" => streamed([says("at last"), ends("stop")], true),
        "cut-off" => streamed(half, false),
        "overloaded-later" => {
            let [one, two] = half;
            streamed([one, two, event(&json!({ "error": { "code": 503, "message": SENTENCE } }))], true)
        }
        "prudish" => {
            let [one, two] = half;
            streamed([one, two, ends("content_filter")], true)
        }
        other => panic!("no test asks {other}"),
    }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A stream of events, with its end or cut off before it.
fn streamed(events: impl IntoIterator<Item = String>, is_whole: bool) -> Response<Body> {
    let events: Vec<_> = events.into_iter().map(Ok::<_, &str>).collect();
    let cut = (!is_whole).then_some(Err("the connection is cut"));
    // A body that waits is flushed, so what comes before the cut arrives.
    let events = stream::iter(events.into_iter().chain(cut)).then(async |event| {
        tokio::task::yield_now().await;
        event
    });
    Response::new(Body::from_stream(events))
}

fn refused(status: StatusCode, code: &str) -> Response<Body> {
    let error = json!({ "error": { "message": SENTENCE, "type": "error", "code": code } });
    let mut response = Response::new(Body::from(error.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("retry-after", "0".parse().expect("a header value"));
    response
}

async fn stored(tenant: &Tenant, chat: &str) -> Value {
    tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
}

/// What became of a question to `model`: the events, and the answer as it is stored.
async fn ask(model: &str) -> (Vec<Value>, Value) {
    let tenant = stack().tenant(model).await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": model } })).await;
    let events = tenant.connect(&chat, "u").await.say("Hello").await;
    let answer = stored(&tenant, &chat).await[1].clone();
    (events, answer)
}

/// Checks how a question to `model` fails: what the client is told, and that what came is kept.
async fn expect_failure(model: &str, code: &str, retryable: bool, kept: &str) {
    let (events, answer) = ask(model).await;
    let error = events.iter().find(|event| event["type"] == "error").expect("an error event");
    assert_eq!((&error["error"]["code"], &error["error"]["details"]["retryable"]), (&json!(code), &json!(retryable)));
    assert_eq!(error["message_id"], answer["message_id"], "it says which answer failed");
    let ended = events.last().expect("an end");
    assert_eq!((&ended["finish_reason"], &ended["content"]), (&json!("error"), &json!(kept)), "{model}");
    assert_eq!((&answer["status"], &answer["content"]), (&json!("failed"), &json!(kept)), "{model}");
    assert!(!json!(events).to_string().contains("sk-secret"), "what the provider says stays here: {events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_told_the_conversation_and_its_answer_is_streamed_and_stored() {
    let tenant = stack().tenant("told").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "system_prompt": "Be brief." } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    let first = socket.say("Hello").await;
    assert_eq!(first[1]["model"], "patient");
    let first = first.last().expect("an end")["content"].as_str().expect("text").to_owned();
    let ended = socket.say("And again").await.pop().expect("an end");

    let told: Value = serde_json::from_str(ended["content"].as_str().expect("text")).expect("this model says JSON");
    let expected = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "Hello" },
        { "role": "assistant", "content": first },
        { "role": "user", "content": "And again" },
    ]);
    assert_eq!((&told["messages"], &told["title"]), (&expected, &json!("Chat")));
    assert_eq!(
        (&ended["finish_reason"], &ended["usage"]),
        (&json!("stop"), &json!({ "input_tokens": 7, "output_tokens": 2 }))
    );
    let answer = stored(&tenant, &chat).await[3].clone();
    assert_eq!((&answer["content"], &answer["usage"]), (&ended["content"], &ended["usage"]));
    assert_eq!(answer["status"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_trying_again_does_not_mend_says_so_and_is_asked_once() {
    expect_failure("without-key", "AGENT_ERROR", false, "").await;
    expect_failure("unknown", "AGENT_ERROR", false, "").await;
    assert_eq!((times_asked("without-key"), times_asked("unknown")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_tried_again_and_then_left_to_the_client() {
    expect_failure("overloaded", "AGENT_ERROR", true, "").await;
    assert_eq!(times_asked("overloaded"), 3);
    let (events, answer) = ask("overloaded-once").await;
    assert!(events.iter().all(|event| event["type"] != "error"), "the client hears nothing of it: {events:?}");
    assert_eq!((&answer["status"], &answer["content"]), (&json!("complete"), &json!("at last")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_a_failure_is_kept_and_not_asked_for_again() {
    expect_failure("cut-off", "AGENT_ERROR", true, "half an answer").await;
    expect_failure("overloaded-later", "AGENT_ERROR", true, "half an answer").await;
    expect_failure("prudish", "AGENT_ERROR", false, "half an answer").await;
    assert_eq!((times_asked("cut-off"), times_asked("overloaded-later"), times_asked("prudish")), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_may_choose_another_agent() {
    let tenant = stack().tenant("choice").await;
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "agent": "echo" } })).await;
    let ended = tenant.connect(&chat, "u").await.say("Hello").await.pop().expect("an end");
    assert_eq!(ended["content"], "You said: Hello");
}
