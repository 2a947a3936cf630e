//! Round trips to DynamoDB, counted at what the functions' SDK clients really send: one after the other, warm and
//! uncontended. The table in docs/ARCHITECTURE.md is this one.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

use std::{collections::BTreeSet, future::Future};

use reqwest::Method;
use serde_json::json;
use shared::domain::limits::Limits;
use tests::{FaultProxy, Options, Stack};
use tokio::sync::mpsc;

/// The round trips of a call.
async fn expect<T>(proxy: &FaultProxy, what: &str, expected: &[&[&str]], call: impl Future<Output = T>) -> T {
    let (result, more) = expect_first(proxy, what, expected, call).await;
    assert_eq!(more, 0, "{what} makes more round trips than that");
    result
}

/// The round trips of a call before its answer, and how many there are after it.
async fn expect_first<T>(
    proxy: &FaultProxy,
    what: &str,
    expected: &[&[&str]],
    call: impl Future<Output = T>,
) -> (T, usize) {
    // Work after the last call's answer may still be under way.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    drop(proxy.take_round_trips());
    let result = call.await;
    let trips = proxy.take_round_trips();
    let counted = &trips[..expected.len().min(trips.len())];
    println!("{what}: {} round trips, {counted:?}", expected.len());
    let expected: Vec<BTreeSet<String>> =
        expected.iter().map(|trip| trip.iter().map(|operation| (*operation).to_owned()).collect()).collect();
    assert_eq!(counted, expected, "{what}");
    (result, trips.len() - expected.len())
}

/// A model's provider that says "Hi", and tells when it is asked.
async fn provider() -> (String, mpsc::UnboundedReceiver<()>) {
    const HI: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let (ask, asked) = mpsc::unbounded_channel();
    let answer = move || {
        let told = ask.send(());
        async move {
            told.expect("the test listens");
            ([("content-type", "text/event-stream")], HI)
        }
    };
    let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_makes_the_round_trips_that_are_written_down_and_no_more() {
    let proxy = FaultProxy::start_delayed(Stack::shared().dynamodb_endpoint()).await;
    let (provider, mut asked) = provider().await;
    let base_url = format!("OpenAiBaseUrl={provider}");
    let arguments = ["--no-reload", "--dynamodb-endpoint", &proxy.url, "--parameter", &base_url];
    let arguments = arguments.map(str::to_owned).to_vec();
    let options = Options { arguments, ..Options::binaries() };
    let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await.expect("the stack starts");
    let tenant = stack.tenant_with("budgets", Limits { rest_per_minute: 1_000, ..Limits::default() }).await;

    // Each function learns whose key this is; the first request also begins the window.
    let chat = tenant.chat("u").await;
    let (one, messages) = (format!("/api/v1/chats/{chat}"), format!("/api/v1/chats/{chat}/messages"));
    let (patch, ticket) = (json!({ "title": "T" }), format!("/api/v1/chats/{chat}/tickets"));
    let new = json!({ "user_id": "u" });
    let doomed = tenant.chat("u").await;
    for path in [&one, &messages, "/api/v1/chats/user/u"] {
        tenant.get(path).await;
    }
    tenant.send(tenant.request(Method::PATCH, &one).json(&patch)).await;
    tenant.post(&ticket, &json!({})).await;
    tenant.delete(&format!("/api/v1/chats/{doomed}")).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("warm").await;
    let doomed = tenant.chat("u").await;

    expect(&proxy, "create", &[&["UpdateItem"], &["TransactWriteItems"]], tenant.post("/api/v1/chats/", &new)).await;
    let once = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "k").json(&new);
    expect(&proxy, "create once", &[&["UpdateItem"], &["TransactWriteItems"]], tenant.send(once)).await;
    expect(&proxy, "get", &[&["UpdateItem"], &["Query"]], tenant.get(&one)).await;
    let changed = tenant.send(tenant.request(Method::PATCH, &one).json(&patch));
    expect(&proxy, "update", &[&["UpdateItem"], &["GetItem", "UpdateItem"]], changed).await;
    expect(&proxy, "messages", &[&["UpdateItem"], &["GetItem", "Query"]], tenant.get(&messages)).await;
    let newest = format!("{messages}?order=desc");
    expect(&proxy, "messages, newest first", &[&["UpdateItem"], &["GetItem"], &["Query"]], tenant.get(&newest)).await;
    let chats: &[&[&str]] = &[&["GetItem", "UpdateItem"], &["Query"], &["BatchGetItem"]];
    expect(&proxy, "chats of a user", chats, tenant.get("/api/v1/chats/user/u")).await;
    let past = tenant.get("/api/v1/chats/user/u?offset=1000");
    expect(&proxy, "chats of a user, past their end", &[&["GetItem", "UpdateItem"]], past).await;
    let nothing = json!({});
    let ticketed = tenant.post(&ticket, &nothing);
    let made = expect(&proxy, "ticket", &[&["GetItem", "UpdateItem"], &["PutItem"]], ticketed).await;
    let doomed = format!("/api/v1/chats/{doomed}");
    let deleted = tenant.delete(&doomed);
    expect_first(&proxy, "delete", &[&["GetItem", "UpdateItem"], &["TransactWriteItems"]], deleted).await;
    let slipped = tenant.with_key("ck_live_wrong");
    expect(&proxy, "a key that cannot be one", &[], slipped.get(&one)).await;

    let connect = tenant.connect(&chat, "u");
    let connect_trips: &[&[&str]] = &[&["GetItem"], &["UpdateItem"], &["BatchWriteItem"]];
    let (mut other, _) = Box::pin(expect_first(&proxy, "$connect", connect_trips, connect)).await;
    let ticket = format!("ticket={}", made.body["ticket"].as_str().expect("a ticket"));
    let redeemed = async {
        let mut socket = tenant.connect_with(&ticket, &[]).await.expect("the handshake succeeds");
        socket.next_of("connection_established").await;
    };
    let redeem_trips: &[&[&str]] = &[&["DeleteItem"], &["GetItem"], &["UpdateItem"], &["BatchWriteItem"]];
    Box::pin(expect_first(&proxy, "$connect with a ticket", redeem_trips, redeemed)).await;
    // Every 30 s a process looks at the key of a socket that speaks, beside what else it reads.
    other.send(&json!({ "type": "ping" })).await;
    other.next_of("pong").await;
    let said = async {
        other.send(&json!({ "content": "Hello" })).await;
        other.next_of("message_received").await
    };
    let message_trips: &[&[&str]] = &[&["UpdateItem"], &["Query"], &["TransactWriteItems"]];
    expect_first(&proxy, "message to message_received", message_trips, said).await;

    let modelled = tenant.chat_with(&json!({ "user_id": "u", "config": { "agent": "openai", "model": "m" } })).await;
    let mut socket = tenant.connect(&modelled, "u").await;
    let question = async {
        socket.send(&json!({ "content": "Hello" })).await;
        // The transaction is under way by now, and takes longer than it takes to look.
        asked.recv().await.expect("the model is asked");
    };
    expect(&proxy, "message to model", &[&["UpdateItem"], &["Query"]], question).await;
    socket.next_of("message_stream_ended").await;

    let other_tenant = stack.tenant("window").await;
    other_tenant.with_key("unknown").get(&one).await;
    let first: &[&[&str]] = &[&["GetItem"], &["UpdateItem"], &["UpdateItem"], &["Query"]];
    expect(&proxy, "a tenant's first request: key, window, chat", first, other_tenant.get(&one)).await;
}
