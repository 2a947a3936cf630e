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
use tests::{Fault, FaultProxy, Options, Stack, Tenant};
use tokio::{process::Command, sync::Notify};

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

/// The JSON output of a command that must succeed.
async fn chat(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The items that contain each text, by their keys. Without tickets, which last a minute, and without `due`, which maintenance
/// of other tests changes.
async fn items_with_each(texts: &[&str]) -> Vec<BTreeMap<String, Value>> {
    let mut found = vec![BTreeMap::new(); texts.len()];
    for table in TABLES {
        let scan = Stack::shared().dynamodb().scan().table_name(table).consistent_read(true);
        let items: Vec<_> = scan.into_paginator().items().send().try_collect().await.expect("DynamoDB responds");
        for mut item in items {
            item.remove("maintenance_at");
            let item = plain(&AttributeValue::M(item));
            let (pk, json) = (item["pk"].as_str().expect("a key"), item.to_string());
            for (text, found) in texts.iter().zip(&mut found) {
                if !pk.starts_with("ticket#") && json.contains(text) {
                    found.insert(format!("{table} {pk} {}", item["sk"]), item.clone());
                }
            }
        }
    }
    found
}

async fn items_with(text: &str) -> BTreeMap<String, Value> {
    items_with_each(&[text]).await.remove(0)
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::M(map) => map.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone().into(),
        AttributeValue::Bool(value) => (*value).into(),
        AttributeValue::Ns(set) | AttributeValue::Ss(set) => {
            set.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
        }
        AttributeValue::Null(_) => Value::Null,
        other => panic!("unexpected type: {other:?}"),
    }
}

async fn assert_no_items_with(text: &str, when: &str) {
    let found = items_with(text).await;
    assert!(found.is_empty(), "{when}: {:?}", found.keys());
}

/// Stores an item of every kind: chats, one of them deleted and not purged, users, an idempotency record, keys, a half-added
/// one, slots, a ticket.
async fn store_everything(tenant: &Tenant) -> ChatId {
    let stack = Stack::shared();
    let chats = [tenant.chat("u").await, tenant.chat("u").await, tenant.chat("v").await];
    let [first, deleted, _] = chats.map(|chat| ChatId::parse(&chat).expect("an id"));
    for _ in 0..15 {
        stack.exchange(tenant, &first, "Hello").await;
        stack.exchange(tenant, &deleted, "Hello").await;
    }
    assert!(stack.chats().delete(&tenant.id, &deleted, Timestamp::now()).await.expect("DynamoDB responds"));
    let create = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "k");
    assert_eq!(tenant.send(create.json(&json!({ "user_id": "v" }))).await.status, StatusCode::CREATED);
    tenant.post(&format!("/api/v1/chats/{first}/tickets"), &json!({})).await;
    chat(&["key", "create", tenant.id.as_str()]).await;
    let half_added = format!("key#{}", MessageId::generate());
    let put = stack.dynamodb().put_item().table_name("TenantsTable");
    let put = put.item("pk", AttributeValue::S(half_added));
    let put = put.item("tenant_id", AttributeValue::S(tenant.id.to_string()));
    put.send().await.expect("DynamoDB responds");
    chat(&["tenant", "set-limits", tenant.id.as_str(), "--retention-days", "30"]).await;
    first
}

#[tokio::test]
async fn erased_tenant_leaves_no_items_and_others_keep_theirs() {
    let stack = Stack::shared();
    let (tenant, other) = (stack.tenant("to be erased").await, stack.tenant("to be kept").await);
    let (first, _) = (store_everything(&tenant).await, store_everything(&other).await);
    let mut socket = tenant.connect(first.as_str(), "u").await;
    let kept = items_with(other.id.as_str()).await;

    let erased = chat(&["tenant", "erase", tenant.id.as_str(), "--yes"]).await;
    assert_eq!((&erased["erased"], &erased["users"]), (&json!(true), &json!(2)), "{erased}");
    assert_eq!(socket.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
    assert_no_items_with(tenant.id.as_str(), "erased tenant").await;
    let left = items_with(other.id.as_str()).await;
    assert!(left == kept, "{:?} instead of {:?}", left.keys(), kept.keys());
    assert_eq!(tenant.get("/api/v1/chats/user/u").await.code(), "INVALID_API_KEY");
    assert_eq!(other.get("/api/v1/chats/user/u").await.status, StatusCode::OK);
    let again = run(&["tenant", "erase", tenant.id.as_str(), "--yes"]).await;
    assert_eq!(again.status.code(), Some(1), "the tenant is unknown");
}

#[tokio::test]
async fn killed_erasure_is_completed_by_the_next() {
    let stack = Stack::shared();
    let tenants = join_all([2, 5, 9, 12, 15, 18, 21, 24, 30].map(async |calls| {
        let tenant = stack.tenant(&format!("erased after {calls} calls")).await;
        store_everything(&tenant).await;
        let (left, failed) = (Arc::new(AtomicUsize::new(calls)), Arc::new(Notify::new()));
        let failing = failed.clone();
        let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |_| {
            let is_last = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
            if is_last {
                failing.notify_one();
            }
            async move { is_last.then_some(Fault::ServerError) }
        })
        .await;
        let erase = ["tenant", "erase", tenant.id.as_str(), "--yes", "--json"];
        let mut process =
            command(&erase, &proxy.url).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        failed.notified().await;
        process.kill().await.expect("it is killed");
        tenant
    }))
    .await;
    // One scan for all: the tables contain the items of every other test.
    let ids: Vec<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert!(items_with_each(&ids).await.iter().all(|items| !items.is_empty()), "each erasure was incomplete");
    join_all(ids.iter().map(async |id| {
        let erased = chat(&["tenant", "erase", id, "--yes"]).await;
        assert_eq!(erased["erased"], true, "{erased}");
    }))
    .await;
    for (tenant, items) in tenants.iter().zip(items_with_each(&ids).await) {
        assert!(items.is_empty(), "{tenant:?}: {:?}", items.keys());
    }
}

#[tokio::test]
async fn erasure_without_confirmation_is_refused() {
    let tenant = Stack::shared().tenant("not to be erased").await;
    let chat_id = tenant.chat("u").await;
    for arguments in [&["tenant", "erase", tenant.id.as_str()][..], &["user", "erase", tenant.id.as_str(), "u"]] {
        let refused = run(arguments).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("pass --yes"), "{refused:?}");
    }
    assert_eq!(tenant.get(&format!("/api/v1/chats/{chat_id}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn erased_user_leaves_no_items() {
    let stack = Stack::shared();
    let tenant = stack.tenant("with users").await;
    let (user, other) = (format!("{}-x", tenant.id), format!("{}-xy", tenant.id));
    // An answer of ten minutes.
    let slow = json!({ "user_id": user, "config": { "model": "echo@2" } });
    let streaming = tenant.chat_with(&slow).await;
    let mut socket = tenant.connect(&streaming, &user).await;
    socket.send(&json!({ "content": "word ".repeat(1200) })).await;
    socket.next_of("message_stream_token").await;
    let deleted = ChatId::parse(&tenant.chat(&user).await).expect("an id");
    for _ in 0..15 {
        stack.exchange(&tenant, &deleted, "Hello").await;
    }
    assert!(stack.chats().delete(&tenant.id, &deleted, Timestamp::now()).await.expect("DynamoDB responds"));
    for user in [&user, &other] {
        let create = tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", user);
        assert_eq!(tenant.send(create.json(&json!({ "user_id": user }))).await.status, StatusCode::CREATED);
    }
    let kept = tenant.chat(&other).await;
    let mut kept_socket = tenant.connect(&kept, &other).await;

    let erased = chat(&["user", "erase", tenant.id.as_str(), &user, "--yes"]).await;
    assert_eq!((&erased["erased"], &erased["chats"]), (&json!(true), &json!(2)), "{erased}");
    assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
    socket.closed().await;
    for text in [&format!("{user}\""), &format!("{user}#"), &streaming, deleted.as_str()] {
        assert_no_items_with(text, text).await;
    }
    assert_eq!(kept_socket.say("still open").await.last().expect("an end")["finish_reason"], "stop");
    assert_eq!(tenant.get(&format!("/api/v1/chats/user/{other}")).await.body["total"], 2);
    let again = chat(&["user", "erase", tenant.id.as_str(), &user, "--yes"]).await;
    assert_eq!((&again["erased"], &again["chats"]), (&json!(true), &json!(0)), "{again}");
}

#[tokio::test]
async fn export_has_all_chats_and_messages_of_the_user() {
    let stack = Stack::shared();
    let tenant = stack.tenant("exporting").await;
    let (long, empty) = (tenant.chat("u").await, tenant.chat("u").await);
    let others = tenant.chat("v").await;
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
    assert_eq!(ids, BTreeSet::from([long.as_str(), &empty]), "without {others}");
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
    assert_eq!(*chat_of(&long), shown, "as the API returns it");

    let file = Options::binaries().target.join(format!("tests/{}.json", MessageId::generate()));
    let path = file.to_str().expect("a path");
    let printed = chat(&["user", "export", tenant.id.as_str(), "u", "--output", path]).await;
    assert_eq!((&printed["chats"], &printed["messages"]), (&json!(2), &json!(250)), "{printed}");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(written["chats"], document["chats"]);
    std::fs::remove_file(&file).expect("the file exists");
}
