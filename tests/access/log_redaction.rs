//! Nothing that a caller sends is logged. Every operation runs, with valid and invalid input, at the level `debug`, with a
//! unique mark in each value; then no mark may be in any output.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, http::StatusCode, routing::post};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::domain::id::MessageId;
use tests::{Fault, FaultProxy, Response, Stack, Tenant};

/// The unique texts, by what they mark, and the ids of the requests that sent them.
#[derive(Default)]
struct Marks {
    texts: BTreeMap<&'static str, String>,
    requests: BTreeSet<String>,
}

impl Marks {
    /// The mark of one kind of value. Only letters and digits, which no formatter escapes.
    fn of(&mut self, what: &'static str) -> String {
        let new = || format!("mark{}", MessageId::generate().as_str().replace("msg_", "").to_lowercase());
        self.texts.entry(what).or_insert_with(new).clone()
    }

    /// Records a request with the expected status.
    fn record(&mut self, response: Response, status: u16) -> Response {
        assert_eq!(response.status.as_u16(), status, "{}", response.body);
        let id = response.headers["x-request-id"].to_str().expect("a text");
        self.requests.insert(id.to_owned());
        response
    }

    /// Records the request of an error event.
    fn record_error(&mut self, event: &Value, code: &str) {
        assert_eq!(event["error"]["code"], code, "{event}");
        self.requests.insert(event["request_id"].as_str().expect("an error has a request id").to_owned());
    }
}

/// A model whose errors and answers quote the caller.
async fn provider() -> String {
    let complete = async |request: String| {
        let request: Value = serde_json::from_str(&request).expect("JSON");
        let quoted = request["messages"].to_string();
        match request["model"].as_str() {
            Some("refuses") => (StatusCode::BAD_REQUEST, json!({ "error": { "message": quoted } }).to_string()),
            Some("malformed") => (StatusCode::OK, format!("data: {{\"choices\": {quoted}\n\n")),
            _ => {
                let delta = json!({ "choices": [{ "delta": { "content": quoted }, "finish_reason": "stop" }] });
                (StatusCode::OK, format!("data: {delta}\n\ndata: [DONE]\n\n"))
            }
        }
    };
    let router = Router::new().route("/v1/chat/completions", post(complete));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Every REST operation, with valid and invalid input.
async fn over_rest(tenant: &Tenant, marks: &mut Marks) -> String {
    let (user, title, meta) = (marks.of("user id"), marks.of("title"), marks.of("metadata"));
    let (prompt, key) = (marks.of("system prompt"), marks.of("idempotency key"));
    let new = json!({
        "user_id": user, "title": title, "metadata": { &meta: meta }, "config": { "system_prompt": prompt }
    });
    let create =
        |body: &Value| tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", &key).json(body);
    let chat = marks.record(tenant.send(create(&new)).await, 201).body["chat_id"].as_str().expect("an id").to_owned();
    marks.record(tenant.send(create(&new)).await, 201);
    marks.record(tenant.send(create(&json!({ "user_id": user }))).await, 422);

    let one = format!("/api/v1/chats/{chat}");
    let junk = marks.of("junk");
    marks.record(tenant.get(&one).await, 200);
    marks.record(tenant.get(&format!("/api/v1/chats/user/{user}")).await, 200);
    marks.record(tenant.send(tenant.request(Method::PATCH, &one).json(&json!({ "title": title }))).await, 200);
    for path in [format!("{one}/messages?offset={junk}"), format!("{one}?{junk}={junk}")] {
        marks.record(tenant.get(&path).await, 400);
    }
    for path in [format!("/api/v1/chats/{junk}"), format!("/api/{junk}"), format!("{one}/messages/{junk}")] {
        marks.record(tenant.get(&path).await, 404);
    }
    for body in [
        format!(r#"{{"user_id": "{junk}"#),
        format!(r#"{{"user_id": "u", "{junk}": 1}}"#),
        format!(r#"{{"user_id": "u", "title": {{"{junk}": "{junk}"}}}}"#),
        format!(r#"{{"user_id": "u", "config": {{"agent": "{junk}"}}}}"#),
    ] {
        let request = tenant.request(Method::POST, "/api/v1/chats/").header(CONTENT_TYPE, "application/json");
        marks.record(tenant.send(request.body(body)).await, 400);
    }
    let text = tenant.request(Method::POST, "/api/v1/chats/").header(CONTENT_TYPE, "text/plain").body(junk.clone());
    marks.record(tenant.send(text).await, 415);
    let large = tenant.request(Method::POST, "/api/v1/chats/").json(&json!({ "user_id": junk.repeat(3_000) }));
    marks.record(tenant.send(large).await, 413);
    for key in [format!("ck_live_{}", marks.of("wrong key")), marks.of("wrong key")] {
        marks.record(tenant.with_key(&key).get(&one).await, 401);
    }
    chat
}

/// Every frame, valid and invalid.
async fn over_sockets(tenant: &Tenant, marks: &mut Marks, chat: &str) {
    let (user, content, client) = (marks.of("user id"), marks.of("content"), marks.of("client message id"));
    let junk = marks.of("junk");
    let created = tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await;
    let ticket = marks.record(created, 201).body["ticket"].as_str().expect("a ticket").to_owned();
    let mut socket = tenant.connect_with(&format!("ticket={ticket}"), &[]).await.expect("the ticket opens");
    marks.texts.insert("ticket", ticket.clone());
    for query in [
        format!("ticket={ticket}"),
        format!("ticket=tk_{}", marks.of("wrong ticket")),
        format!("api_key=ck_live_{}&user_id={user}&chat_id={chat}", marks.of("wrong key")),
        format!("api_key={}&user_id={user}&chat_id={junk}", tenant.key),
        format!("api_key={}&user_id={user}&chat_id={chat}&{junk}={junk}", tenant.key),
    ] {
        let refusal = tenant.refusal(&query).await;
        assert!(refusal.status.is_client_error(), "{}", refusal.body);
        marks
            .requests
            .insert(refusal.body["requestId"].as_str().expect("a refused handshake has a request id").to_owned());
    }

    let message = json!({ "content": content, "client_message_id": client });
    socket.send(&message).await;
    let answer_id = socket.next_of("message_stream_ended").await["message_id"].clone();
    socket.send(&message).await;
    socket.next_of("message_received").await;
    socket.send(&json!({ "type": "regenerate", "message_id": answer_id })).await;
    socket.next_of("message_stream_ended").await;
    for (frame, code) in [
        (format!(r#"{{"content": "{junk}"#), "INVALID_JSON"),
        (format!(r#"{{"content": {{"{junk}": 1}}}}"#), "INVALID_PARAMETER"),
        (format!(r#"{{"content": "x", "{junk}": "{junk}"}}"#), "UNKNOWN_FIELD"),
        (format!(r#"{{"type": "{junk}"}}"#), "UNKNOWN_TYPE"),
        (format!(r#"{{"type": "cancel", "message_id": "{junk}"}}"#), "MESSAGE_NOT_FOUND"),
    ] {
        socket.send_text(&frame).await;
        marks.record_error(&socket.next_of("error").await, code);
    }
    socket.close().await;

    // Models whose errors quote their callers.
    for (model, end) in [("repeats", "stop"), ("refuses", "error"), ("malformed", "error")] {
        let config = json!({ "agent": "openai", "model": model, "system_prompt": marks.of("system prompt") });
        let chat = tenant.chat_with(&json!({ "user_id": user, "config": config })).await;
        let mut socket = tenant.connect(&chat, &user).await;
        let events = socket.say(&content).await;
        assert_eq!(events.last().expect("an end")["finish_reason"], end);
        socket.close().await;
    }
}

/// Unreadable items, and a failing table: these errors are logged with their cause.
async fn with_storage_errors(stack: &Stack, tenant: &Tenant, marks: &mut Marks, proxy: &FaultProxy, chat: &str) {
    let one = format!("/api/v1/chats/{chat}");
    proxy.inject("Query", 3, Fault::ServerError);
    marks.record(tenant.get(&one).await, 503);
    for (sk, field, path) in
        [("message#0000000000", "status", format!("{one}/messages")), ("~profile", "title", one.clone())]
    {
        let unreadable = AttributeValue::M([(marks.of("stored"), AttributeValue::S(marks.of("stored")))].into());
        let unreadable = if field == "status" { AttributeValue::S(marks.of("stored")) } else { unreadable };
        let update = stack.dynamodb().update_item().table_name("ChatsTable");
        let update = update.key("pk", AttributeValue::S(format!("{}#{chat}", tenant.id)));
        let update = update.key("sk", AttributeValue::S(sk.to_owned())).update_expression("SET #f = :unreadable");
        let update =
            update.expression_attribute_names("#f", field).expression_attribute_values(":unreadable", unreadable);
        update.send().await.expect("the item is changed");
        marks.record(tenant.get(&path).await, 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_caller_sends_is_logged() {
    let proxy = FaultProxy::start(Stack::shared().dynamodb_endpoint()).await;
    let base_url = format!("OpenAiBaseUrl={}", provider().await);
    let stack = Stack::start_with(&[
        "--dynamodb-endpoint",
        &proxy.url,
        "--parameter",
        "LogLevel=debug",
        "--parameter",
        &base_url,
        "--parameter",
        "AllowedModels=*",
    ])
    .await;
    let tenant = stack.tenant("log redaction").await;
    let mut marks = Marks::default();
    marks.texts.insert("key", tenant.key.clone());

    let chat = over_rest(&tenant, &mut marks).await;
    Box::pin(over_sockets(&tenant, &mut marks, &chat)).await;
    with_storage_errors(&stack, &tenant, &mut marks, &proxy, &chat).await;
    let deleted = tenant.delete(&format!("/api/v1/chats/{chat}")).await;
    marks.record(deleted, 204);

    // Wait until all requests are logged.
    for request in &marks.requests {
        stack.line("request completed", request).await;
    }
    stack.line_that("after-response work ended", |line| line["task"] == "purge").await;
    let of_tenant = |line: &Value| line["tenant_id"] == tenant.id.as_str();
    let routes: BTreeSet<String> = stack
        .logged()
        .into_iter()
        .filter(of_tenant)
        .filter_map(|line| line["route"].as_str().map(str::to_owned))
        .collect();
    // Every function except the fallback, which does not authenticate.
    assert_eq!(routes.len(), 10, "{routes:?}");
    for code in ["INTERNAL", "UNAVAILABLE", "AGENT_ERROR"] {
        stack.line_that("request failed", |line| line["error.code"] == code && line["error.cause"].is_string()).await;
    }

    for (what, hash) in [("key", "hash of the key"), ("ticket", "hash of the ticket")] {
        let digest = Sha256::digest(marks.texts[what].as_bytes());
        marks.texts.insert(hash, digest.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    let output = stack.printed();
    assert!(output.contains(tenant.id.as_str()));
    for (what, mark) in &marks.texts {
        let line = output.lines().find(|line| line.contains(mark.as_str()));
        assert_eq!(line, None, "the {what} is logged");
    }
}
