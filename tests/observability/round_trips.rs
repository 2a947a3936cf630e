//! Sequential round trips to DynamoDB, counted from what the functions' SDK clients send, warm and without contention. They
//! must match the table in `docs/DATA.md`.
#![expect(clippy::print_stdout, reason = "the counts are printed")]

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::json;
use shared::domain::limits::Limits;
use tests::{Document, FaultProxy, Stack};
use tokio::sync::mpsc;

/// Counts the round trips of calls.
struct Counter {
    proxy: FaultProxy,
    counted: BTreeMap<String, String>,
}

impl Counter {
    /// Asserts the round trips of a call; none may follow the response.
    async fn expect<T>(&mut self, operation: &str, expected: &[&[&str]], call: impl Future<Output = T>) -> T {
        let (result, more) = self.expect_first(operation, expected, call).await;
        assert_eq!(more, 0, "{operation}: round trips after the response");
        result
    }

    /// Asserts the round trips of a call before its response; returns also how many follow.
    async fn expect_first<T>(
        &mut self,
        operation: &str,
        expected: &[&[&str]],
        call: impl Future<Output = T>,
    ) -> (T, usize) {
        // Work after the last response may still be running.
        self.proxy.wait_until_idle().await;
        drop(self.proxy.take_round_trips());
        let result = call.await;
        let trips = self.proxy.take_round_trips();
        let counted = &trips[..expected.len().min(trips.len())];
        println!("{operation}: {} round trips, {counted:?}", expected.len());
        let expected: Vec<BTreeSet<String>> =
            expected.iter().map(|trip| trip.iter().map(|call| (*call).to_owned()).collect()).collect();
        assert_eq!(counted, expected, "{operation}");
        self.counted.insert(operation.to_owned(), expected.len().to_string());
        (result, trips.len() - expected.len())
    }
}

/// A provider that answers "Hi", and a channel with each request.
async fn provider() -> (String, mpsc::UnboundedReceiver<()>) {
    const HI: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let (request, requests) = mpsc::unbounded_channel();
    let respond = move || {
        let sent = request.send(());
        async move {
            sent.expect("the test receives");
            ([("content-type", "text/event-stream")], HI)
        }
    };
    let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(respond));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, requests)
}

/// The first refusal of a full chat probes its connections; the process reads before the next one. It remembers the first
/// refusal of a minute.
async fn refused_connects_are_cheap(counter: &mut Counter, stack: &Stack) {
    let full_chat = Limits { connections_per_chat: Some(1), ..Limits::default() };
    let full_minute = Limits { connects_per_minute: Some(1), ..Limits::default() };
    let trips: [&[&[&str]]; 2] = [&[&["GetItem"], &["GetItem"]], &[&["GetItem"]]];
    let operations = ["$connect to a full chat", "$connect in a full minute"];
    for ((operation, limits), trips) in operations.into_iter().zip([full_chat, full_minute]).zip(trips) {
        let tenant = stack.tenant_with(operation, limits).await;
        let chat = tenant.chat("u").await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let open = tenant.connect(&chat, "u").await;
        assert!(tenant.connect_with(&query, &[]).await.is_err());
        assert!(counter.expect(operation, trips, tenant.connect_with(&query, &[])).await.is_err());
        drop(open);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_make_the_documented_round_trips() {
    let proxy = FaultProxy::start_delayed(Stack::shared().dynamodb_endpoint()).await;
    let (provider, mut requests) = provider().await;
    let base_url = format!("OpenAiBaseUrl={provider}");
    let parameters = ["--parameter", &base_url, "--parameter", "AllowedModels=m"];
    let stack = Stack::start_with(&[&["--dynamodb-endpoint", &proxy.url][..], &parameters].concat()).await;
    let mut counter = Counter { proxy, counted: BTreeMap::new() };
    let tenant = stack.tenant_with("round trips", Limits { rest_per_minute: 1_000, ..Limits::default() }).await;

    // Each function learns the tenant of the key; the first request also starts the window.
    let chat = tenant.chat("u").await;
    let (one, messages) = (format!("/api/v1/chats/{chat}"), format!("/api/v1/chats/{chat}/messages"));
    let (patch, ticket) = (json!({ "title": "T" }), format!("/api/v1/chats/{chat}/tickets"));
    let new = json!({ "user_id": "u" });
    let deleted_chat = tenant.chat("u").await;
    for path in [&one, &messages, "/api/v1/chats/user/u"] {
        tenant.get(path).await;
    }
    tenant.send(tenant.request(Method::PATCH, &one).json(&patch)).await;
    tenant.post(&ticket, &json!({})).await;
    tenant.delete(&format!("/api/v1/chats/{deleted_chat}")).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("warm").await;
    let deleted_chat = tenant.chat("u").await;

    counter.expect("create", &[&["UpdateItem"], &["TransactWriteItems"]], tenant.post("/api/v1/chats/", &new)).await;
    let idempotent = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "k").json(&new);
    counter
        .expect("create with Idempotency-Key", &[&["UpdateItem"], &["TransactWriteItems"]], tenant.send(idempotent))
        .await;
    counter.expect("get", &[&["UpdateItem"], &["Query"]], tenant.get(&one)).await;
    let changed = tenant.send(tenant.request(Method::PATCH, &one).json(&patch));
    counter.expect("update", &[&["UpdateItem"], &["GetItem", "UpdateItem"]], changed).await;
    let remodelled = json!({ "config": { "model": "echo@0" } });
    let remodelled = tenant.send(tenant.request(Method::PATCH, &one).json(&remodelled));
    let trips: &[&[&str]] = &[&["UpdateItem"], &["GetItem"], &["GetItem", "UpdateItem"]];
    counter.expect("update of the model alone", trips, remodelled).await;
    counter.expect("messages", &[&["UpdateItem"], &["GetItem", "Query"]], tenant.get(&messages)).await;
    let newest = format!("{messages}?order=desc");
    counter.expect("messages, newest first", &[&["UpdateItem"], &["GetItem"], &["Query"]], tenant.get(&newest)).await;
    let chats: &[&[&str]] = &[&["GetItem", "UpdateItem"], &["Query"], &["BatchGetItem"]];
    counter.expect("chats of a user", chats, tenant.get("/api/v1/chats/user/u")).await;
    let past = tenant.get("/api/v1/chats/user/u?offset=1000");
    counter.expect("chats of a user, past their end", &[&["GetItem", "UpdateItem"]], past).await;
    let nothing = json!({});
    let ticketed = tenant.post(&ticket, &nothing);
    let created = counter.expect("ticket", &[&["GetItem", "UpdateItem"], &["PutItem"]], ticketed).await;
    let deleted_chat = format!("/api/v1/chats/{deleted_chat}");
    let deleted = tenant.delete(&deleted_chat);
    counter.expect_first("delete", &[&["GetItem", "UpdateItem"], &["TransactWriteItems"]], deleted).await;
    let malformed = tenant.with_key("ck_live_wrong");
    counter.expect("malformed key", &[], malformed.get(&one)).await;

    let connect = tenant.connect(&chat, "u");
    let connect_trips: &[&[&str]] = &[&["GetItem"], &["UpdateItem"], &["BatchWriteItem"]];
    let (mut other, _) = Box::pin(counter.expect_first("$connect", connect_trips, connect)).await;
    let ticket = format!("ticket={}", created.body["ticket"].as_str().expect("a ticket"));
    let redeemed = async {
        let mut socket = tenant.connect_with(&ticket, &[]).await.expect("the handshake succeeds");
        socket.next_of("connection_established").await;
    };
    let redeem_trips: &[&[&str]] = &[&["GetItem"], &["DeleteItem", "GetItem"], &["UpdateItem"], &["BatchWriteItem"]];
    Box::pin(counter.expect_first("$connect with a ticket", redeem_trips, redeemed)).await;
    let mistyped = format!("{ticket}x");
    let refused = tenant.connect_with(&mistyped, &[]);
    assert!(counter.expect("malformed ticket", &[], refused).await.is_err());
    refused_connects_are_cheap(&mut counter, &stack).await;
    // The recheck of the key is due at the first frame in 30 s; this ping has it.
    other.send(&json!({ "type": "ping" })).await;
    other.next_of("pong").await;
    let message = async {
        other.send(&json!({ "content": "Hello" })).await;
        other.next_of("message_received").await
    };
    let message_trips: &[&[&str]] = &[&["UpdateItem"], &["Query", "UpdateItem"], &["TransactWriteItems"]];
    counter.expect_first("message to message_received", message_trips, message).await;

    let modelled = tenant.chat_with(&json!({ "user_id": "u", "config": { "agent": "openai", "model": "m" } })).await;
    let mut socket = tenant.connect(&modelled, "u").await;
    let until_the_model = async {
        socket.send(&json!({ "content": "Hello" })).await;
        requests.recv().await.expect("a request to the model");
    };
    // The transaction starts beside the request, so it may follow, or not yet.
    let _ =
        counter.expect_first("message to model", &[&["UpdateItem"], &["Query", "UpdateItem"]], until_the_model).await;
    socket.next_of("message_stream_ended").await;

    let other_tenant = stack.tenant("new window").await;
    other_tenant.with_key("unknown").get(&one).await;
    let first: &[&[&str]] = &[&["GetItem"], &["UpdateItem"], &["UpdateItem"], &["Query"]];
    counter.expect("first request of a tenant: key, window, chat", first, other_tenant.get(&one)).await;

    let documented = Document::read("docs/DATA.md").section("## Round trips").table();
    assert_eq!(counter.counted, documented, "counted, and documented in docs/DATA.md");
}
