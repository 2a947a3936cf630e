//! API keys on every route: missing, unknown, revoked, expired, moved.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::{
    auth::Authenticator,
    domain::{
        api_key::{ApiKey, KeyHash},
        chat::ChatConfig,
        error::Code,
        limits::{Limits, RateLimitBucket},
        tenant::{NewKey, NewTenant, TenantStatus},
        time::Timestamp,
    },
    storage::TenantRepository,
};
use tests::{Api, FaultProxy, Stack, Tenant};

/// Every route with a key.
const ROUTES: [(Method, &str); 7] = [
    (Method::POST, "/api/v1/chats/"),
    (Method::GET, "/api/v1/chats/user/u"),
    (Method::GET, "/api/v1/chats/chat_x"),
    (Method::GET, "/api/v1/chats/chat_x/messages"),
    (Method::PATCH, "/api/v1/chats/chat_x"),
    (Method::DELETE, "/api/v1/chats/chat_x"),
    (Method::POST, "/api/v1/chats/chat_x/tickets"),
];

/// Asserts that every route and the handshake refuse the tenant's key.
async fn assert_refused_everywhere<Id: Clone>(tenant: &Tenant<Id>, status: StatusCode, code: &str) {
    for (method, path) in ROUTES {
        let response = tenant.send(tenant.request(method.clone(), path)).await;
        assert_eq!((response.status, response.code()), (status, code), "{method} {path}");
    }
    let query = format!("api_key={}&user_id=u&chat_id=chat_x", tenant.key);
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(status)), "$connect");
}

#[tokio::test]
async fn revoked_key_and_its_tickets_are_refused_everywhere() {
    let stack = Stack::shared();
    let tenant = stack.tenant("revoked key").await;
    let chat = tenant.chat("u").await;
    let ticket = tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await.body["ticket"].clone();
    // Each function has seen the key and may remember its tenant.
    for (method, path) in ROUTES {
        let response = tenant.send(tenant.request(method.clone(), path).json(&json!({}))).await;
        assert_ne!(response.status, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    drop(tenant.connect(&chat, "u").await);
    assert!(stack.tenants().revoke_key(&tenant.id, &ApiKey::new(&tenant.key).hash()).await.expect("DynamoDB responds"));
    assert_refused_everywhere(&tenant, StatusCode::UNAUTHORIZED, "INVALID_API_KEY").await;
    let query = format!("ticket={}", ticket.as_str().expect("a ticket"));
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn key_moved_to_another_tenant_opens_only_its_chats() {
    let stack = Stack::shared();
    let (old, new) = (stack.tenant("old owner").await, stack.tenant("new owner").await);
    let (old_chat, new_chat) = (old.chat("u").await, new.chat("u").await);
    drop(old.connect(&old_chat, "u").await);
    let (tenants, key) = (stack.tenants(), ApiKey::new(&old.key).hash());
    assert!(tenants.revoke_key(&old.id, &key).await.expect("DynamoDB responds"));
    let added = tenants.add_key(&new.id, NewKey { key: &key, expires_at: None }, Timestamp::now()).await;
    assert!(added.expect("DynamoDB responds").is_some());

    let moved = new.with_key(&old.key);
    assert_eq!(moved.get(&format!("/api/v1/chats/{new_chat}")).await.status, StatusCode::OK);
    moved.connect(&new_chat, "u").await;
    let query = format!("api_key={}&user_id=u&chat_id={old_chat}", old.key);
    assert_eq!(moved.connect_with(&query, &[]).await.err(), Some(StatusCode::NOT_FOUND), "the chat of the old owner");
}

#[tokio::test]
async fn key_of_a_tenant_cannot_create_another_tenant() {
    let stack = Stack::shared();
    let tenant = stack.tenant("first").await;
    let hash = ApiKey::new(&tenant.key).hash();
    let again = NewTenant { name: "second", key: &hash, limits: Limits::default(), defaults: ChatConfig::default() };
    let created = stack.tenants().create(again, Timestamp::now()).await;
    assert!(created.expect("DynamoDB responds").is_none());
}

/// The calls of requests with a key, and whether they were admitted.
struct Requests {
    proxy: FaultProxy,
    authenticator: Authenticator,
    key: String,
}

impl Requests {
    async fn with(key: &str) -> Self {
        let stack = Stack::shared();
        let proxy = FaultProxy::start(stack.dynamodb_endpoint()).await;
        let tenants = TenantRepository::new(stack.dynamodb_at(&proxy.url), "TenantsTable".to_owned());
        Self { proxy, authenticator: Authenticator::new(tenants), key: key.to_owned() }
    }

    async fn send(&self, now: Timestamp) -> (Option<Code>, Vec<String>) {
        let (admitted, _) = self.authenticator.admit(Some(&self.key), RateLimitBucket::Rest, now).await;
        (admitted.err().map(|error| error.code()), self.proxy.take_calls())
    }

    async fn assert(&self, now: Timestamp, code: Option<Code>, calls: &[&str]) {
        let (got, made) = self.send(now).await;
        assert_eq!((got, made), (code, calls.iter().map(|call| (*call).to_owned()).collect()));
    }
}

/// A key that expires in this time, and requests with it.
async fn expiring(tenant: &Tenant, lifetime: Duration, now: Timestamp) -> (KeyHash, Requests) {
    let key = ApiKey::generate("test");
    let new = NewKey { key: &key.hash(), expires_at: Some(now.plus(lifetime)) };
    let added = Stack::shared().tenants().add_key(&tenant.id, new, now).await.expect("DynamoDB responds");
    assert!(added.is_some());
    (key.hash(), Requests::with(key.reveal()).await)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn expired_key_is_written_for_once_and_then_only_read() {
    let stack = Stack::shared();
    let (tenant, now) = (stack.tenant("expired key").await, Timestamp::now());
    let (key, requests) = expiring(&tenant, 10 * SECOND, now).await;
    requests.send(now).await;
    requests.assert(now, None, &["UpdateItem"]).await;
    let expired = now.plus(10 * SECOND);
    requests.assert(expired, Some(Code::InvalidApiKey), &["UpdateItem", "GetItem"]).await;
    for _ in 0..3 {
        requests.assert(expired, Some(Code::InvalidApiKey), &["GetItem"]).await;
    }
    // Its tenant is read again: the key may have another one.
    let later = expired.plus(6 * SECOND);
    requests.assert(later, Some(Code::InvalidApiKey), &["GetItem", "GetItem"]).await;
    requests.assert(later, Some(Code::InvalidApiKey), &["GetItem"]).await;

    let extended = stack.tenants().set_key_expiry(&tenant.id, &key, now.plus(60 * SECOND)).await;
    assert!(extended.expect("DynamoDB responds"));
    requests.assert(later, None, &["GetItem", "UpdateItem"]).await;
    requests.assert(later, None, &["UpdateItem"]).await;
}

#[tokio::test]
async fn key_of_a_suspended_tenant_is_written_for_once_and_then_only_read() {
    let stack = Stack::shared();
    let (tenant, now) = (stack.tenant("suspended and read").await, Timestamp::now());
    let requests = Requests::with(&tenant.key).await;
    let set_status = async |status| assert!(stack.tenants().set_status(&tenant.id, status).await.expect("it answers"));
    requests.send(now).await;
    set_status(TenantStatus::Suspended).await;
    requests.assert(now, Some(Code::TenantSuspended), &["UpdateItem"]).await;
    for _ in 0..3 {
        requests.assert(now, Some(Code::TenantSuspended), &["GetItem"]).await;
    }
    set_status(TenantStatus::Active).await;
    requests.assert(now, None, &["GetItem", "UpdateItem"]).await;
    requests.assert(now, None, &["UpdateItem"]).await;
}

#[tokio::test]
async fn refused_key_that_moves_to_another_tenant_is_accepted_at_once() {
    let stack = Stack::shared();
    let (old, new, now) = (stack.tenant("refused").await, stack.tenant("next owner").await, Timestamp::now());
    let (key, requests) = expiring(&old, SECOND, now).await;
    requests.send(now).await;
    let expired = now.plus(SECOND);
    requests.assert(expired, Some(Code::InvalidApiKey), &["UpdateItem", "GetItem"]).await;
    assert!(stack.tenants().revoke_key(&old.id, &key).await.expect("DynamoDB responds"));
    let added = stack.tenants().add_key(&new.id, NewKey { key: &key, expires_at: None }, now).await;
    assert!(added.expect("DynamoDB responds").is_some());
    let (admitted, _) = requests.authenticator.admit(Some(&requests.key), RateLimitBucket::Rest, expired).await;
    assert_eq!(admitted.expect("it is admitted").id, new.id);
}

mod black_box {
    use reqwest::StatusCode;
    use serde_json::json;
    use tests::{Api, Customer, eventually};

    use super::assert_refused_everywhere;

    #[tokio::test]
    async fn missing_key_is_refused_everywhere() {
        let tenant = Api::shared().tenant("no key").await;
        assert_refused_everywhere(&tenant.with_key(""), StatusCode::UNAUTHORIZED, "MISSING_API_KEY").await;
    }

    #[tokio::test]
    async fn unknown_key_is_refused_everywhere() {
        let tenant = Api::shared().tenant("wrong key").await;
        let wrong = tenant.with_key(&format!("{}x", tenant.key));
        assert_refused_everywhere(&wrong, StatusCode::UNAUTHORIZED, "INVALID_API_KEY").await;
    }

    #[tokio::test]
    async fn key_is_checked_before_the_body() {
        let tenant = Api::shared().tenant("order").await.with_key("unknown");
        let response = tenant.post("/api/v1/chats/", &json!({ "unknown": true })).await;
        assert_eq!(response.code(), "INVALID_API_KEY");
    }

    async fn status(tenant: &Customer) -> StatusCode {
        tenant.get("/api/v1/chats/user/u").await.status
    }

    #[tokio::test]
    async fn revoked_key_is_refused_from_the_next_request() {
        let tenant = Api::shared().tenant("rotating").await;
        let created = Api::shared().chat(&["key", "create", &tenant.id]).await;
        let renewed = tenant.with_key(created["api_key"].as_str().expect("a key"));
        assert_eq!(
            (status(&tenant).await, status(&renewed).await),
            (StatusCode::OK, StatusCode::OK),
            "both keys are valid"
        );
        let id = tenant.chat("u").await;
        let (mut old, mut new) = (tenant.connect(&id, "u").await, renewed.connect(&id, "u").await);

        let keys = Api::shared().chat(&["key", "list", &tenant.id]).await;
        let keys = keys["keys"].as_array().expect("keys").iter().map(|key| key["key_id"].as_str().expect("an id"));
        let first = keys.clone().find(|key| created["key_id"] != *key).expect("the first key");
        Api::shared().chat(&["key", "revoke", &tenant.id, first]).await;
        assert_eq!((status(&tenant).await, status(&renewed).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
        assert_eq!(old.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
        old.closed().await;
        assert_eq!(new.say("still here").await.last().expect("an end")["finish_reason"], "stop");
    }

    /// The expiry of a key is no event, so its sockets are closed at their next frame.
    #[tokio::test]
    async fn socket_of_an_expired_key_is_closed_at_its_next_frame() {
        let api = Api::shared();
        let tenant = api.tenant("expiring").await;
        let id = tenant.chat("u").await;
        let created = api.chat(&["key", "create", &tenant.id, "--expires-in", "10s"]).await;
        let expiring = tenant.with_key(created["api_key"].as_str().expect("a key"));
        let mut socket = expiring.connect(&id, "u").await;
        eventually("the key expires", async || status(&expiring).await == StatusCode::UNAUTHORIZED).await;
        socket.send(&json!({ "content": "Hello?" })).await;
        assert_eq!(socket.next_of("error").await["error"]["code"], "CONNECTION_CLOSING");
        socket.closed().await;
    }
}
