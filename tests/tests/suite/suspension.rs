//! What those who run the service do to a tenant or a key is felt: on the next request, and on open sockets.

use std::process::Command;

use reqwest::StatusCode;
use serde_json::Value;
use tests::{Options, Stack, Tenant};

/// Runs `chat` with these arguments on the shared stack.
fn chat(arguments: &[&str]) -> Value {
    let stack = Stack::shared();
    let output = Command::new(Options::binaries().target.join("debug/chat"))
        .args(arguments)
        .args(["--dynamodb-endpoint", stack.dynamodb_endpoint(), "--management-endpoint", stack.rest_url(), "--json"])
        .output()
        .expect("the command line runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn status(tenant: &Tenant) -> StatusCode {
    tenant.get("/api/v1/chats/user/u").await.status
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_and_its_sockets_are_closed() {
    let stack = Stack::shared();
    let (tenant, bystander) = (stack.tenant("to be suspended").await, stack.tenant("bystander").await);
    let (its_chat, other_chat) = (tenant.chat("u").await, bystander.chat("u").await);
    let mut socket = tenant.connect(&its_chat, "u").await;
    let mut other = bystander.connect(&other_chat, "u").await;

    let suspended = chat(&["tenant", "suspend", tenant.id.as_str()]);
    assert_eq!(suspended["sockets"]["closed"], 1, "{suspended}");
    let goodbye = socket.next_of("error").await;
    assert_eq!(goodbye["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
    let refused = tenant.get("/api/v1/chats/user/u").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "TENANT_SUSPENDED"));
    let query = format!("api_key={}&user_id=u&chat_id={its_chat}", tenant.key);
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::FORBIDDEN));

    assert_eq!(other.say("I am still here").await.last().expect("an end")["finish_reason"], "stop");
    chat(&["tenant", "resume", tenant.id.as_str()]);
    assert_eq!(status(&tenant).await, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_from_the_next_request_on() {
    let tenant = Stack::shared().tenant("rotating").await;
    let made = chat(&["key", "create", tenant.id.as_str()]);
    let renewed = tenant.with_key(made["api_key"].as_str().expect("a key"));
    assert_eq!((status(&tenant).await, status(&renewed).await), (StatusCode::OK, StatusCode::OK), "both are live");
    let id = tenant.chat("u").await;
    let (mut old, mut new) = (tenant.connect(&id, "u").await, renewed.connect(&id, "u").await);

    let keys = chat(&["key", "list", tenant.id.as_str()]);
    let keys = keys["keys"].as_array().expect("keys").iter().map(|key| key["key_id"].as_str().expect("an id"));
    let first = keys.clone().find(|key| made["key_id"] != *key).expect("the first key");
    chat(&["key", "revoke", tenant.id.as_str(), first]);
    assert_eq!((status(&tenant).await, status(&renewed).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    assert_eq!(old.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
    old.closed().await;
    assert_eq!(new.say("still here").await.last().expect("an end")["finish_reason"], "stop");
}

/// The command line may not reach the sockets; then the first message after a while does it.
#[tokio::test]
async fn a_socket_that_was_missed_is_closed_when_it_speaks() {
    let stack = Stack::shared();
    let tenant = stack.tenant("missed").await;
    let id = tenant.chat("u").await;
    let mut socket = tenant.connect(&id, "u").await;
    let suspended = shared::store::TenantStatus::Suspended;
    assert!(stack.tenants().set_status(&tenant.id, suspended).await.expect("the table answers"));
    socket.send(&serde_json::json!({ "content": "Hello?" })).await;
    assert_eq!(socket.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
}
