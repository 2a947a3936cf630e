//! The error codes of REST and of refused handshakes, compared with their snapshots.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::json;
use shared::domain::{error::Code, limits::Limits, tenant::TenantStatus};
use tests::{FaultProfile, FaultyStack, Stack, Tenant};

use crate::error_snapshots::assert_response;

const CHATS: &str = "/api/v1/chats/";

async fn create(tenant: &Tenant, body: &str) -> tests::Response {
    let request = tenant.request(Method::POST, CHATS).header(CONTENT_TYPE, "application/json");
    tenant.send(request.body(body.to_owned())).await
}

#[tokio::test]
async fn errors_of_the_request_match_their_snapshots() {
    let tenant = Stack::shared().tenant("request errors").await;
    assert_response(Code::InvalidJson, &create(&tenant, r#"{"user_id":"#).await);
    assert_response(Code::MissingParameter, &create(&tenant, "{}").await);
    assert_response(Code::InvalidParameter, &create(&tenant, r#"{"user_id":"a b"}"#).await);
    assert_response(Code::UnknownField, &create(&tenant, r#"{"user_id":"u","titel":"x"}"#).await);
    let large = json!({ "user_id": "u", "title": "x".repeat(64 * 1024) }).to_string();
    assert_response(Code::PayloadTooLarge, &create(&tenant, &large).await);
    let text = tenant.request(Method::POST, CHATS).header(CONTENT_TYPE, "text/plain").body("{}");
    assert_response(Code::UnsupportedMediaType, &tenant.send(text).await);
    for body in [json!({ "user_id": "u" }), json!({ "user_id": "v" })] {
        let response =
            tenant.send(tenant.request(Method::POST, CHATS).header("Idempotency-Key", "k").json(&body)).await;
        if !response.status.is_success() {
            assert_response(Code::IdempotencyMismatch, &response);
        }
    }
    assert_response(Code::RouteNotFound, &tenant.get("/api/v1/unknown").await);
    assert_response(Code::MethodNotAllowed, &tenant.get(CHATS).await);
    assert_response(Code::ChatNotFound, &tenant.get("/api/v1/chats/chat_01M83B8Y8V6KJPM4TQ4Z5S4R0C").await);
}

#[tokio::test]
async fn errors_of_the_access_match_their_snapshots() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("access errors", Limits { rest_per_minute: 1, ..Limits::default() }).await;
    let path = "/api/v1/chats/user/u";
    assert_response(Code::MissingApiKey, &tenant.with_key("").get(path).await);
    assert_response(Code::InvalidApiKey, &tenant.with_key("ck_live_unknown").get(path).await);
    tenant.get(path).await;
    assert_response(Code::RateLimitExceeded, &tenant.get(path).await);
    let suspended = stack.tenant("suspended").await;
    let set = stack.tenants().set_status(&suspended.id, TenantStatus::Suspended).await;
    assert!(set.expect("DynamoDB responds"));
    assert_response(Code::TenantSuspended, &suspended.get(path).await);
}

/// API Gateway replaces the body of a refused handshake, so the code is only in the log.
#[tokio::test]
async fn refused_handshakes_match_their_snapshots() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("handshake errors", Limits { connections: 1, ..Limits::default() }).await;
    let chat = tenant.chat("u").await;
    let _open = tenant.connect(&chat, "u").await;
    for (code, query) in [
        (Code::InvalidTicket, "ticket=tk_unknown".to_owned()),
        (Code::ChatAccessDenied, format!("api_key={}&user_id=v&chat_id={chat}", tenant.key)),
        (Code::ConnectionLimitExceeded, format!("api_key={}&user_id=u&chat_id={chat}", tenant.key)),
    ] {
        let refused = tenant.refusal(&query).await;
        assert_response(code, &refused);
        let id = refused.body["requestId"].as_str().expect("a refused handshake has a request id");
        let line = stack.line_that("request completed", |line| line["request_id"] == id).await;
        assert_eq!(line["error.code"], code.as_str());
    }
}

#[tokio::test]
async fn unreadable_item_matches_the_snapshot_of_internal() {
    let stack = Stack::shared();
    let tenant = stack.tenant("unreadable item").await;
    let chat = tenant.chat("u").await;
    let update = stack.dynamodb().update_item().table_name("ChatsTable");
    let update = update.key("pk", AttributeValue::S(format!("{}#{chat}", tenant.id)));
    let update = update.key("sk", AttributeValue::S("~profile".to_owned()));
    let update =
        update.update_expression("SET title = :bad").expression_attribute_values(":bad", AttributeValue::Bool(true));
    update.send().await.expect("DynamoDB responds");
    assert_response(Code::Internal, &tenant.get(&format!("/api/v1/chats/{chat}")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_dynamodb_matches_the_snapshot_of_unavailable() {
    let faulty = FaultyStack::start(1).await;
    let tenant = faulty.stack.tenant("unavailable").await;
    faulty.tables.set_profile(FaultProfile::Unreachable);
    assert_response(Code::Unavailable, &tenant.get("/api/v1/chats/user/u").await);
}
