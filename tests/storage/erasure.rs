//! `chat tenant erase`, `chat user erase` and `chat user export`, on the running stack.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::domain::{
    id::{ChatId, MessageId},
    time::Timestamp,
};
use tests::{Options, Stack, Tenant};
use tokio::{process::Command, sync::Notify};

use crate::resilience::between::{Between, Fate};

const TABLES: [&str; 3] = ["TenantsTable", "ChatsTable", "ConnectionsTable"];

/// `chat` with these arguments on the shared stack.
fn command(arguments: &[&str], dynamodb: &str) -> Command {
    let mut command = Command::new(Options::binaries().target.join("debug/chat"));
    command.args(arguments).args([
        "--dynamodb-endpoint",
        dynamodb,
        "--management-endpoint",
        Stack::shared().rest_url(),
    ]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(arguments: &[&str]) -> Output {
    command(arguments, Stack::shared().dynamodb_endpoint()).output().await.expect("the command line runs")
}

/// What a command that succeeds says to programs.
async fn chat(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// All items of all tables in which a text is found, by their keys; but tickets, which last a minute, and when it is that
/// maintenance, which other tests run, looks at something.
async fn traces(text: &str) -> BTreeMap<String, Value> {
    let mut traces = BTreeMap::new();
    for table in TABLES {
        let scan = Stack::shared().dynamodb().scan().table_name(table).consistent_read(true);
        let items: Vec<_> = scan.into_paginator().items().send().try_collect().await.expect("the table answers");
        for mut item in items {
            item.remove("due");
            let item = plain(&AttributeValue::M(item));
            let pk = item["pk"].as_str().expect("a key");
            if !pk.starts_with("ticket#") && item.to_string().contains(text) {
                traces.insert(format!("{table} {pk} {}", item["sk"]), item);
            }
        }
    }
    traces
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::M(map) => map.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone().into(),
        AttributeValue::Bool(value) => (*value).into(),
        AttributeValue::Ns(set) => set.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        AttributeValue::Null(_) => Value::Null,
        other => panic!("nobody writes that: {other:?}"),
    }
}

async fn assert_no_traces(text: &str, when: &str) {
    let traces = traces(text).await;
    assert!(traces.is_empty(), "{when}: {:?}", traces.keys());
}

/// Everything that the tables know of a tenant: chats, one of them with a running answer's remains, one deleted and not
/// purged, users, a record of a request that must run once, keys, a half-made one, leases, a ticket.
async fn furnish(tenant: &Tenant) -> ChatId {
    let stack = Stack::shared();
    let chats = [tenant.chat("u").await, tenant.chat("u").await, tenant.chat("v").await];
    let [first, deleted, _] = chats.map(|chat| ChatId::parse(&chat).expect("an id"));
    for _ in 0..15 {
        stack.exchange(tenant, &first, "Hello").await;
        stack.exchange(tenant, &deleted, "Hello").await;
    }
    assert!(stack.chats().delete(&tenant.id, &deleted, Timestamp::now()).await.expect("the table answers"));
    let once = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "k");
    assert_eq!(tenant.send(once.json(&json!({ "user_id": "v" }))).await.status, StatusCode::CREATED);
    tenant.post(&format!("/api/v1/chats/{first}/tickets"), &json!({})).await;
    chat(&["key", "create", tenant.id.as_str()]).await;
    let half_made = format!("key#{}", MessageId::generate());
    let put = stack.dynamodb().put_item().table_name("TenantsTable");
    let put = put.item("pk", AttributeValue::S(half_made));
    let put = put.item("tenant_id", AttributeValue::S(tenant.id.to_string()));
    put.send().await.expect("the table answers");
    chat(&["tenant", "set-limits", tenant.id.as_str(), "--retention-days", "30"]).await;
    first
}

#[tokio::test]
async fn nothing_is_left_of_an_erased_tenant_and_nobody_else_feels_it() {
    let stack = Stack::shared();
    let (tenant, other) = (stack.tenant("to be erased").await, stack.tenant("to be spared").await);
    let (mine, _) = (furnish(&tenant).await, furnish(&other).await);
    let mut socket = tenant.connect(mine.as_str(), "u").await;
    let spared = traces(other.id.as_str()).await;

    let erased = chat(&["tenant", "erase", tenant.id.as_str(), "--yes"]).await;
    assert_eq!((&erased["erased"], &erased["users"]), (&json!(true), &json!(2)), "{erased}");
    assert_eq!(socket.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
    assert_no_traces(tenant.id.as_str(), "of the one").await;
    let left = traces(other.id.as_str()).await;
    assert!(left == spared, "{:?} of {:?}", left.keys(), spared.keys());
    assert_eq!(tenant.get("/api/v1/chats/user/u").await.code(), "INVALID_API_KEY");
    assert_eq!(other.get("/api/v1/chats/user/u").await.status, StatusCode::OK);
    let again = run(&["tenant", "erase", tenant.id.as_str(), "--yes"]).await;
    assert_eq!(again.status.code(), Some(1), "there is no such tenant");
}

#[tokio::test]
async fn an_erase_that_is_killed_anywhere_is_finished_by_the_next() {
    let stack = Stack::shared();
    let killing = [2, 5, 9, 12, 15, 18, 21, 24, 30].map(async |calls| {
        let tenant = stack.tenant(&format!("erased in two goes {calls}")).await;
        furnish(&tenant).await;
        let (left, dead) = (Arc::new(AtomicUsize::new(calls)), Arc::new(Notify::new()));
        let noted = dead.clone();
        let proxy = Between::start(stack.dynamodb_endpoint(), move |_| {
            let is_last = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
            if is_last {
                noted.notify_one();
            }
            async move { if is_last { Fate::Refused } else { Fate::Arrives } }
        })
        .await;
        let erase = ["tenant", "erase", tenant.id.as_str(), "--yes", "--json"];
        let mut process =
            command(&erase, &proxy.url).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        dead.notified().await;
        process.kill().await.expect("it is killed");
        assert!(!traces(tenant.id.as_str()).await.is_empty());

        let erased = chat(&["tenant", "erase", tenant.id.as_str(), "--yes"]).await;
        assert_eq!(erased["erased"], true, "{erased}");
        assert_no_traces(tenant.id.as_str(), &format!("killed after {calls} calls")).await;
    });
    join_all(killing).await;
}

#[tokio::test]
async fn nothing_is_erased_that_nobody_agreed_to() {
    let tenant = Stack::shared().tenant("not to be erased").await;
    let chat_id = tenant.chat("u").await;
    for arguments in [&["tenant", "erase", tenant.id.as_str()][..], &["user", "erase", tenant.id.as_str(), "u"]] {
        let refused = run(arguments).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("grant --yes"), "{refused:?}");
    }
    assert_eq!(tenant.get(&format!("/api/v1/chats/{chat_id}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_left_of_an_erased_user() {
    let stack = Stack::shared();
    let tenant = stack.tenant("with users").await;
    let (user, other) = (format!("{}-x", tenant.id), format!("{}-xy", tenant.id));
    // Ten minutes of answer.
    let slow = json!({ "user_id": user, "config": { "model": "echo@2" } });
    let streaming = tenant.chat_with(&slow).await;
    let mut socket = tenant.connect(&streaming, &user).await;
    socket.send(&json!({ "content": "word ".repeat(1200) })).await;
    socket.next_of("message_stream_token").await;
    let deleted = ChatId::parse(&tenant.chat(&user).await).expect("an id");
    for _ in 0..15 {
        stack.exchange(&tenant, &deleted, "Hello").await;
    }
    assert!(stack.chats().delete(&tenant.id, &deleted, Timestamp::now()).await.expect("the table answers"));
    for user in [&user, &other] {
        let once = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", user);
        assert_eq!(tenant.send(once.json(&json!({ "user_id": user }))).await.status, StatusCode::CREATED);
    }
    let kept = tenant.chat(&other).await;
    let mut spared = tenant.connect(&kept, &other).await;

    let erased = chat(&["user", "erase", tenant.id.as_str(), &user, "--yes"]).await;
    assert_eq!((&erased["erased"], &erased["chats"]), (&json!(true), &json!(2)), "{erased}");
    assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
    socket.closed().await;
    for trace in [&format!("{user}\""), &format!("{user}#"), &streaming, deleted.as_str()] {
        assert_no_traces(trace, trace).await;
    }
    assert_eq!(spared.say("I am still here").await.last().expect("an end")["finish_reason"], "stop");
    assert_eq!(tenant.get(&format!("/api/v1/chats/user/{other}")).await.body["total"], 2);
    let again = chat(&["user", "erase", tenant.id.as_str(), &user, "--yes"]).await;
    assert_eq!((&again["erased"], &again["chats"]), (&json!(true), &json!(0)), "{again}");
}

#[tokio::test]
async fn a_user_is_exported_whole() {
    let stack = Stack::shared();
    let tenant = stack.tenant("exporting").await;
    let (long, empty) = (tenant.chat("u").await, tenant.chat("u").await);
    let strangers = tenant.chat("v").await;
    let id = ChatId::parse(&long).expect("an id");
    for number in 0..125 {
        stack.exchange(&tenant, &id, &format!("No. {number}: \"quoted\" 👩‍🚀")).await;
    }
    let output = run(&["user", "export", tenant.id.as_str(), "u"]).await;
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!((&document["tenant_id"], &document["user_id"]), (&json!(tenant.id), &json!("u")));
    let chats = document["chats"].as_array().expect("chats");
    let ids: BTreeSet<&str> = chats.iter().map(|chat| chat["chat_id"].as_str().expect("an id")).collect();
    assert_eq!(ids, BTreeSet::from([long.as_str(), &empty]), "but not {strangers}");
    let chat_of = |id: &str| chats.iter().find(|chat| chat["chat_id"] == id).expect("the chat");
    assert_eq!(chat_of(&empty)["messages"], json!([]));
    let mut shown = tenant.get(&format!("/api/v1/chats/{long}")).await.body;
    let mut messages = Vec::new();
    for offset in [0, 200] {
        let page = tenant.get(&format!("/api/v1/chats/{long}/messages?limit=200&offset={offset}")).await.body;
        messages.extend(page["messages"].as_array().expect("messages").clone());
    }
    assert_eq!(messages.len(), 250);
    shown["messages"] = messages.into();
    assert_eq!(*chat_of(&long), shown, "as the API shows it");

    let file = Options::binaries().target.join(format!("tests/{}.json", MessageId::generate()));
    let path = file.to_str().expect("a path");
    let told = chat(&["user", "export", tenant.id.as_str(), "u", "--output", path]).await;
    assert_eq!((&told["chats"], &told["messages"]), (&json!(2), &json!(250)), "{told}");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(written["chats"], document["chats"]);
    std::fs::remove_file(&file).expect("it is there");
}
