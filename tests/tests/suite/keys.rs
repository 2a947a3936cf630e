//! API keys, on every route.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::{Stack, Tenant};

const CALLS: [(Method, &str); 5] = [
    (Method::POST, "/api/v1/chats/"),
    (Method::GET, "/api/v1/chats/user/u"),
    (Method::GET, "/api/v1/chats/chat_x"),
    (Method::GET, "/api/v1/chats/chat_x/messages"),
    (Method::DELETE, "/api/v1/chats/chat_x"),
];

async fn expect_everywhere(tenant: &Tenant, status: StatusCode, code: &str) {
    for (method, path) in CALLS {
        let answer = tenant.send(tenant.request(method.clone(), path)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {path}");
    }
    let query = format!("api_key={}&user_id=u&chat_id=chat_x", tenant.key);
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(status), "$connect");
}

#[tokio::test]
async fn without_a_key_nothing_opens() {
    let tenant = Stack::shared().tenant("no key").await;
    expect_everywhere(&tenant.with_key(""), StatusCode::UNAUTHORIZED, "MISSING_API_KEY").await;
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let tenant = Stack::shared().tenant("wrong key").await;
    let wrong = tenant.with_key(&format!("{}x", tenant.key));
    expect_everywhere(&wrong, StatusCode::UNAUTHORIZED, "INVALID_API_KEY").await;
}

#[tokio::test]
async fn the_key_comes_before_the_body() {
    let tenant = Stack::shared().tenant("order").await.with_key("nobody");
    let answer = tenant.post("/api/v1/chats/", &json!({ "nonsense": true })).await;
    assert_eq!(answer.code(), "INVALID_API_KEY");
}

#[tokio::test]
async fn a_key_belongs_to_one_tenant_for_good() {
    let stack = Stack::shared();
    let tenant = stack.tenant("first").await;
    let hash = shared::api_key::ApiKey::new(&tenant.key).hash();
    let again = shared::store::NewTenant {
        name: "second",
        key: &hash,
        limits: shared::limits::Limits::default(),
        defaults: shared::chat::ChatConfig::default(),
    };
    let created = stack.tenants().create(again, shared::time::Timestamp::now()).await;
    assert!(created.expect("the table answers").is_none());
}
