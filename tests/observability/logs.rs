//! The log lines of requests, generations and work after the response, and their counters.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::domain::{id::ChatId, limits::Limits};
use tests::{Fault, FaultProxy, Response, Stack, Tenant, eventually};

fn request_id(response: &Response) -> &str {
    response.headers["x-request-id"].to_str().expect("a text")
}

/// The line of a completed request.
async fn line_of(stack: &Stack, response: &Response) -> Value {
    stack.line("request completed", request_id(response)).await
}

/// The calls, read units and write units of a line.
fn dynamodb(line: &Value) -> (u64, f64, f64) {
    let number = |name: &str| line[format!("dynamodb.{name}")].as_f64().unwrap_or_else(|| panic!("{name} in {line}"));
    (number("calls") as u64, number("read_units"), number("write_units"))
}

fn assert_tenant(line: &Value, tenant: &Tenant) {
    assert_eq!(line["tenant_id"], tenant.id.as_str(), "{line}");
}

#[tokio::test]
async fn request_has_one_line_with_its_tenant_and_its_cost() {
    let stack = Stack::shared();
    let tenant = stack.tenant("one line").await;
    let chat = tenant.chat("u").await;
    let path = format!("/api/v1/chats/{chat}");
    tenant.get(&path).await;

    let got = tenant.get(&path).await;
    let line = line_of(stack, &got).await;
    assert_tenant(&line, &tenant);
    assert_eq!((&line["route"], &line["status"]), (&json!("GET /api/v1/chats/{chat_id}"), &json!(200)));
    assert!(line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    assert_eq!((line.get("error.code"), &line["requests"], &line["faults"]), (None, &json!(1), &json!(0)));
    // The admission writes an item below 1 KB; one consistent query below 4 KB reads profile and state.
    assert_eq!(dynamodb(&line), (2, 1.0, 1.0), "{line}");
    let lines = stack.logged().into_iter().filter(|line| line["request_id"] == request_id(&got));
    assert_eq!(lines.count(), 1, "one line");

    // Two units each for the items of the chat, its user and the index: transactions cost double.
    let created = tenant.post("/api/v1/chats/", &json!({ "user_id": "u" })).await;
    let (calls, _, written) = dynamodb(&line_of(stack, &created).await);
    assert!(calls == 2 && written > 5.0, "{calls} calls, {written} write units");
}

#[tokio::test]
async fn message_after_long_ones_reads_no_more_than_its_context() {
    let stack = Stack::shared();
    let tenant = stack.tenant("long messages").await;
    let chat = tenant.chat("u").await;
    let id = ChatId::parse(&chat).expect("an id");
    let long = "x".repeat(27_000);
    for _ in 0..20 {
        stack.exchange(&tenant, &id, &long).await;
    }
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("Hello").await;
    let is_message = |line: &Value| {
        line["tenant_id"] == tenant.id.as_str() && line["route"] == "$default" && line["message"] == "request completed"
    };
    eventually("the message is logged", async || stack.log_of("ws-message").iter().any(is_message)).await;
    let line = stack.log_of("ws-message").into_iter().find(is_message).expect("a line");
    let (_, read, _) = dynamodb(&line);
    // Twelve messages of 27 KB; one query of 1 MB would take 256 units.
    assert!(read < 100.0, "{read} read units: {line}");
}

#[tokio::test]
async fn line_of_a_refused_request_has_its_error_code() {
    let stack = Stack::shared();
    let tenant = stack.tenant("refused").await;
    let missing = line_of(stack, &tenant.get("/api/v1/chats/chat_01ARZ3NDEKTSV4RRFFQ69G5FAV").await).await;
    assert_tenant(&missing, &tenant);
    assert_eq!((&missing["error.code"], &missing["errors"]), (&json!("CHAT_NOT_FOUND"), &json!(1)));

    let unknown = line_of(stack, &tenant.with_key("ck_live_wrong").get("/api/v1/chats/user/u").await).await;
    assert_eq!((&unknown["error.code"], unknown.get("tenant_id")), (&json!("INVALID_API_KEY"), None));
    let unrouted = tenant.send(tenant.request(Method::POST, "/api/v2/secret")).await;
    assert_eq!(line_of(stack, &unrouted).await["route"], "$default");
}

#[tokio::test]
async fn line_of_a_rate_limited_request_has_its_tenant() {
    let stack = Stack::shared();
    let limits = Limits { rest_per_minute: 1, ..Default::default() };
    let tenant = stack.tenant_with("limited", limits).await;
    tenant.get("/api/v1/chats/user/u").await;
    for _ in 0..2 {
        let refused = tenant.get("/api/v1/chats/user/u").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        let line = line_of(stack, &refused).await;
        assert_tenant(&line, &tenant);
        assert_eq!((&line["rate_limited"], &line["error.code"]), (&json!(1), &json!("RATE_LIMIT_EXCEEDED")));
    }
}

#[tokio::test]
async fn connect_and_its_first_events_are_counted_in_separate_lines() {
    let stack = Stack::shared();
    let tenant = stack.tenant("connections").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.next_of("user_created").await;
    socket.close().await;
    let of = |route: &'static str| {
        let id = tenant.id.clone();
        move |line: &Value| line["tenant_id"] == id.as_str() && line["route"] == route
    };
    let opened = stack.line_that("request completed", of("$connect")).await;
    assert_eq!((&opened["connections_opened"], opened.get("connections_refused")), (&json!(1), None));
    let greeted = stack.line("after-response work ended", opened["request_id"].as_str().expect("an id")).await;
    assert_tenant(&greeted, &tenant);
    assert_eq!(
        (&greeted["task"], &greeted["frames"]),
        (&json!("connection_established"), &json!(2)),
        "two events: {greeted}"
    );
    assert!(dynamodb(&greeted).0 > 0, "{greeted}");
    stack.line_that("request completed", of("$disconnect")).await;

    let refused = tenant.refusal(&format!("api_key={}&user_id=u&chat_id=chat_none", tenant.key)).await;
    let id = refused.body["requestId"].as_str().expect("a refused handshake has a request id");
    assert_eq!(stack.line("request completed", id).await["connections_refused"], 1);
}

#[tokio::test]
async fn simultaneous_generations_are_counted_separately() {
    let stack = Stack::shared();
    let tenants = join_all(["one", "two", "three"].map(|name| stack.tenant(name))).await;
    let streams = tenants.iter().zip([10, 30, 60]).map(async |(tenant, words)| {
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@60" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let events = socket.say(&"word ".repeat(words)).await;
        let ended = events.last().expect("an end");
        let line = stack.line_that("generation ended", |line| line["tenant_id"] == tenant.id.as_str()).await;
        assert_eq!(line["outcome"], "stop", "{line}");
        assert_eq!(line["frames"], events.len(), "one socket received this many events: {line}");
        assert_eq!(line["output_tokens"], ended["usage"]["output_tokens"], "{line}");
        assert_eq!(line["first_token_ms"], ended["timing"]["first_token_ms"], "{line}");
        assert_eq!(line["total_ms"], ended["timing"]["total_ms"], "{line}");
        assert!(line.get("posts_retried").is_none() && line["posted_bytes"].as_u64().is_some_and(|bytes| bytes > 500));
        let (calls, _, written) = dynamodb(&line);
        assert!(calls > 2 && written > 0.0, "{line}");
    });
    join_all(streams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_throttles_are_counted() {
    let proxy = FaultProxy::start(Stack::shared().dynamodb_endpoint()).await;
    let stack = Stack::start_with(&["--dynamodb-endpoint", &proxy.url]).await;
    let tenant = stack.tenant("throttled").await;
    let path = format!("/api/v1/chats/{}", tenant.chat("u").await);
    tenant.get(&path).await;

    proxy.inject("Query", 1, Fault::Throttled);
    proxy.inject("Query", 1, Fault::ServerError);
    let line = line_of(&stack, &tenant.get(&path).await).await;
    assert_eq!(
        (&line["status"], &line["dynamodb.calls"]),
        (&json!(200), &json!(4)),
        "the admission and three attempts: {line}"
    );
    assert_eq!((&line["dynamodb.retries"], &line["dynamodb.throttles"]), (&json!(2), &json!(1)), "{line}");

    proxy.inject("Query", 3, Fault::Throttled);
    let failed = tenant.get(&path).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    let line = line_of(&stack, &failed).await;
    assert_eq!((&line["faults"], &line["dynamodb.throttles"]), (&json!(1), &json!(3)), "{line}");
    stack.line("request failed", request_id(&failed)).await;
}
