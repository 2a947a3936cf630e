//! API keys, on every route.

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
