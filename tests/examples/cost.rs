//! The cost of a thousand conversations on AWS, from the usage of one on the local stack: create a chat, open a socket, get five
//! answers of 500 tokens, list the messages. Prints the table that docs/OPERATIONS.md quotes. The argument is the model's
//! tokens a second: `cargo run --example cost -- 100`.
//!
//! Usage comes from the functions' log lines, except the duration of requests: a laptop's says little about Lambda, so each
//! counts [`REQUEST_SECONDS`]. Generations take as long as their model.
#![expect(clippy::print_stdout, reason = "a table is printed")]

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, http::Response, routing::post};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{Options, Stack, Tenant, eventually};

/// Messages of a conversation.
const EXCHANGES: usize = 5;
/// Tokens of an answer, of four letters and a space each.
const TOKENS: usize = 500;
/// How long a socket stays open beside the generations.
const READING_MINUTES: f64 = 5.0;
/// The duration of a request on Lambda: a few round trips to DynamoDB, rounded up generously.
const REQUEST_SECONDS: f64 = 0.05;
/// The memory of the functions in template.yaml.
const MEMORY_GB: f64 = 0.25;
/// The bytes that Lambda logs for an invocation: START, END, REPORT.
const REPORT_BYTES: usize = 350;

/// US dollars, us-east-1, 2026: <https://aws.amazon.com/lambda/pricing/> (arm64),
/// <https://aws.amazon.com/api-gateway/pricing/>, <https://aws.amazon.com/dynamodb/pricing/on-demand/>,
/// <https://aws.amazon.com/cloudwatch/pricing/> (logs taken in).
mod price {
    pub(crate) const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;
    pub(crate) const LAMBDA_REQUEST: f64 = 0.20e-6;
    pub(crate) const HTTP_REQUEST: f64 = 1.00e-6;
    pub(crate) const SOCKET_MESSAGE: f64 = 1.00e-6;
    pub(crate) const SOCKET_MINUTE: f64 = 0.25e-6;
    pub(crate) const READ_UNIT: f64 = 0.125e-6;
    pub(crate) const WRITE_UNIT: f64 = 0.625e-6;
    pub(crate) const LOG_BYTE: f64 = 0.50e-9;
}

#[tokio::main]
async fn main() {
    let pace =
        std::env::args().nth(1).map_or(50, |pace| pace.parse().expect("the argument is tokens a second, such as 50"));
    let base_url = format!("OpenAiBaseUrl={}", model(pace).await);
    let mut options = Options::binaries();
    options.arguments.extend(["--parameter".to_owned(), base_url]);
    options.arguments.extend(["--parameter", "AllowedModels=m"].map(str::to_owned));
    let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await.expect("the stack starts");
    let tenant = stack.tenant("cost").await;
    // Warm up: most Lambda environments know the tenant of the key.
    run_conversation(&tenant).await;
    let before = lines_of(&stack, &tenant, 1).await.len();
    run_conversation(&tenant).await;
    let lines = lines_of(&stack, &tenant, 2).await;
    print(pace, &lines[before..]);
}

/// A model behind the Chat Completions API with tokens of four letters and a space.
async fn model(pace: u32) -> String {
    let complete = async move || {
        let tokens = stream::iter(0..TOKENS).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(1) / pace.max(1)).await;
            let delta = json!({ "choices": [{ "delta": { "content": "word " }, "finish_reason": null }] });
            Ok::<_, Infallible>(format!("data: {delta}\n\n"))
        });
        let stop = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 50, "completion_tokens": TOKENS } });
        let end = format!("data: {stop}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
        let body = Body::from_stream(tokens.chain(stream::once(async move { Ok(end) })));
        Response::builder().header("content-type", "text/event-stream").body(body).expect("a response")
    };
    let router = Router::new().route("/v1/chat/completions", post(complete));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn run_conversation(tenant: &Tenant) {
    let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "agent": "openai", "model": "m" } })).await;
    let mut socket = tenant.connect(&chat, "u").await;
    for _ in 0..EXCHANGES {
        let events = socket.say("How do I reset the password of my account, and what happens to my open orders?").await;
        assert_eq!(events.last().expect("an end")["finish_reason"], "stop");
    }
    tenant.get(&format!("/api/v1/chats/{chat}/messages")).await;
    socket.close().await;
}

/// Waits for the log lines of this many conversations; returns them in order of time.
async fn lines_of(stack: &Stack, tenant: &Tenant, conversations: usize) -> Vec<Value> {
    // Create, connect, first events, exchanges with their generations, list, disconnect.
    let expected = (5 + 2 * EXCHANGES) * conversations;
    let mut lines = Vec::new();
    eventually("all lines are logged", async || {
        lines = stack.logged();
        lines.retain(|line| line["tenant_id"] == tenant.id.as_str());
        lines.len() >= expected
    })
    .await;
    lines.sort_by_key(|line| line["timestamp"].as_str().map(str::to_owned));
    lines
}

fn print(pace: u32, lines: &[Value]) {
    let sum = |name: &str| lines.iter().filter_map(|line| line[name].as_f64()).sum::<f64>();
    let count = |matches: &dyn Fn(&Value) -> bool| lines.iter().filter(|line| matches(line)).count() as f64;
    let route = |line: &Value| line["route"].as_str().unwrap_or_default().to_owned();
    let invocations = count(&|line| line["message"] == "request completed");
    let rest = count(&|line| route(line).contains(' '));
    let frames = count(&|line| route(line) == "$default");
    let later: f64 = lines
        .iter()
        .filter(|line| line["message"] != "request completed")
        .filter_map(|line| line["duration_ms"].as_f64())
        .sum();
    let streaming = later / 1e3;
    let seconds = invocations * REQUEST_SECONDS + streaming;
    let bytes =
        lines.iter().map(|line| line.to_string().len()).sum::<usize>() as f64 + invocations * REPORT_BYTES as f64;
    let rows = [
        ("HTTP API: requests", rest, price::HTTP_REQUEST),
        ("WebSocket: messages in", frames, price::SOCKET_MESSAGE),
        ("WebSocket: messages out", sum("frames"), price::SOCKET_MESSAGE),
        ("WebSocket: minutes open", READING_MINUTES + streaming / 60.0, price::SOCKET_MINUTE),
        ("Lambda: invocations", invocations, price::LAMBDA_REQUEST),
        ("Lambda: GB-seconds", seconds * MEMORY_GB, price::LAMBDA_GB_SECOND),
        ("DynamoDB: write units", sum("dynamodb.write_units"), price::WRITE_UNIT),
        ("DynamoDB: read units", sum("dynamodb.read_units"), price::READ_UNIT),
        ("CloudWatch: bytes of logs", bytes, price::LOG_BYTE),
    ];
    println!("{EXCHANGES} exchanges of {TOKENS} tokens each, at {pace} tokens a second\n");
    println!("| what | a conversation | a thousand, US$ |\n|---|---:|---:|");
    let mut total = 0.0;
    for (what, used, price) in rows {
        let dollars = used * price * 1e3;
        total += dollars;
        println!("| {what} | {used:.1} | {dollars:.4} |");
    }
    println!("| together | | {total:.4} |");
    println!("\n{} calls of DynamoDB; {} bytes posted.", sum("dynamodb.calls"), sum("posted_bytes"));
}
