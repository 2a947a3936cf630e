//! API keys, on every route.

use reqwest::StatusCode;
use serde_json::json;
use shared::{
    domain::{api_key::ApiKey, time::Timestamp},
    storage::NewKey,
};
use tests::Stack;

use self::black_box::{CALLS, expect_everywhere};

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
    let again = shared::storage::NewTenant {
        name: "second",
        key: &hash,
        limits: shared::domain::limits::Limits::default(),
        defaults: shared::domain::chat::ChatConfig::default(),
    };
    let created = stack.tenants().create(again, shared::domain::time::Timestamp::now()).await;
    assert!(created.expect("the table answers").is_none());
}

mod black_box {
    use reqwest::{Method, StatusCode};
    use serde_json::json;
    use tests::{Api, Tenant};

    pub(crate) const CALLS: [(Method, &str); 7] = [
        (Method::POST, "/api/v1/chats/"),
        (Method::GET, "/api/v1/chats/user/u"),
        (Method::GET, "/api/v1/chats/chat_x"),
        (Method::GET, "/api/v1/chats/chat_x/messages"),
        (Method::PATCH, "/api/v1/chats/chat_x"),
        (Method::DELETE, "/api/v1/chats/chat_x"),
        (Method::POST, "/api/v1/chats/chat_x/tickets"),
    ];

    /// Every route refuses the tenant's key, and the handshake does.
    pub(crate) async fn expect_everywhere<Id: Clone>(tenant: &Tenant<Id>, status: StatusCode, code: &str) {
        for (method, path) in CALLS {
            let answer = tenant.send(tenant.request(method.clone(), path)).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{method} {path}");
        }
        let query = format!("api_key={}&user_id=u&chat_id=chat_x", tenant.key);
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(status)), "$connect");
    }

    #[tokio::test]
    async fn without_a_key_nothing_opens() {
        let tenant = Api::shared().tenant("no key").await;
        expect_everywhere(&tenant.with_key(""), StatusCode::UNAUTHORIZED, "MISSING_API_KEY").await;
    }

    #[tokio::test]
    async fn a_wrong_key_opens_nothing() {
        let tenant = Api::shared().tenant("wrong key").await;
        let wrong = tenant.with_key(&format!("{}x", tenant.key));
        expect_everywhere(&wrong, StatusCode::UNAUTHORIZED, "INVALID_API_KEY").await;
    }

    #[tokio::test]
    async fn the_key_comes_before_the_body() {
        let tenant = Api::shared().tenant("order").await.with_key("nobody");
        let answer = tenant.post("/api/v1/chats/", &json!({ "nonsense": true })).await;
        assert_eq!(answer.code(), "INVALID_API_KEY");
    }
}
