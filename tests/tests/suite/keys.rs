//! API keys, on every route.

use reqwest::StatusCode;
use serde_json::json;
use shared::domain::{api_key::ApiKey, tenant::NewKey, time::Timestamp};
use tests::Stack;

use crate::outside::keys::{CALLS, expect_everywhere};

#[tokio::test]
async fn a_revoked_key_opens_nothing_nor_does_a_ticket_that_it_made() {
    let stack = Stack::shared();
    let tenant = stack.tenant("revoked key").await;
    let chat = tenant.chat("u").await;
    let ticket = tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await.body["ticket"].clone();
    // Each function has seen the key, and may remember whose it is.
    for (method, path) in CALLS {
        let answer = tenant.send(tenant.request(method.clone(), path).json(&json!({}))).await;
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    drop(tenant.connect(&chat, "u").await);
    assert!(stack.tenants().revoke_key(&tenant.id, &ApiKey::new(&tenant.key).hash()).await.expect("the table answers"));
    expect_everywhere(&tenant, StatusCode::UNAUTHORIZED, "INVALID_API_KEY").await;
    let query = format!("ticket={}", ticket.as_str().expect("a ticket"));
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_key_that_moved_to_another_tenant_opens_that_ones_gate() {
    let stack = Stack::shared();
    let (old, new) = (stack.tenant("old owner").await, stack.tenant("new owner").await);
    let (old_chat, new_chat) = (old.chat("u").await, new.chat("u").await);
    drop(old.connect(&old_chat, "u").await);
    let (tenants, key) = (stack.tenants(), ApiKey::new(&old.key).hash());
    assert!(tenants.revoke_key(&old.id, &key).await.expect("the table answers"));
    let made = tenants.add_key(&new.id, NewKey { key: &key, expires_at: None }, Timestamp::now()).await;
    assert!(made.expect("the table answers").is_some());

    let moved = new.with_key(&old.key);
    assert_eq!(moved.get(&format!("/api/v1/chats/{new_chat}")).await.status, StatusCode::OK);
    moved.connect(&new_chat, "u").await;
    let query = format!("api_key={}&user_id=u&chat_id={old_chat}", old.key);
    assert_eq!(moved.connect_with(&query, &[]).await.err(), Some(StatusCode::NOT_FOUND), "that is over");
}

#[tokio::test]
async fn a_key_belongs_to_one_tenant_for_good() {
    let stack = Stack::shared();
    let tenant = stack.tenant("first").await;
    let hash = shared::domain::api_key::ApiKey::new(&tenant.key).hash();
    let again = shared::domain::tenant::NewTenant {
        name: "second",
        key: &hash,
        limits: shared::domain::limits::Limits::default(),
        defaults: shared::domain::chat::ChatConfig::default(),
    };
    let created = stack.tenants().create(again, shared::domain::time::Timestamp::now()).await;
    assert!(created.expect("the table answers").is_none());
}
