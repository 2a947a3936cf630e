//! Tenants know nothing of each other: every operation with every kind of foreign id gets the answer of a thing that
//! never existed.

use reqwest::{Method, StatusCode};
use shared::domain::{
    api_key::ApiKey,
    id::{ChatId, MessageId},
    tenant::{NewKey, TenantStatus},
    time::Timestamp,
};
use tests::Stack;

use crate::outside::isolation::{operations, said};

/// Some handlers are handed what was read while the request was let in.
#[tokio::test]
async fn who_is_refused_learns_nothing_of_what_was_read_meanwhile() {
    let stack = Stack::shared();
    let tenant = stack.tenant("refused").await;
    let (there, never) = (tenant.chat("u").await, ChatId::generate().to_string());
    // The functions know whose key it is.
    for operation in operations(&tenant, &never) {
        assert_eq!(tenant.send(operation).await.code(), "CHAT_NOT_FOUND");
    }
    tenant.get("/api/v1/chats/user/u").await;
    let suspended = TenantStatus::Suspended;
    assert!(stack.tenants().set_status(&tenant.id, suspended).await.expect("the table answers"));

    for (one, other) in operations(&tenant, &there).into_iter().zip(operations(&tenant, &never)) {
        let (one, other) = (tenant.send(one).await, tenant.send(other).await);
        assert_eq!(one.code(), "TENANT_SUSPENDED");
        assert_eq!(said(&one, &there), said(&other, &never));
    }
    let (one, other) = (tenant.get("/api/v1/chats/user/u").await, tenant.get("/api/v1/chats/user/nobody").await);
    assert_eq!((one.code(), said(&one, "")), ("TENANT_SUSPENDED", said(&other, "")));
}

#[tokio::test]
async fn a_key_that_moved_to_another_tenant_opens_nothing_of_the_first() {
    let stack = Stack::shared();
    let (first, second) = (stack.tenant("first").await, stack.tenant("second").await);
    let (key, now) = (format!("key-{}", MessageId::generate()), Timestamp::now());
    let hash = ApiKey::new(&key).hash();
    let new = NewKey { key: &hash, expires_at: None };
    assert!(stack.tenants().add_key(&first.id, new, now).await.expect("the table answers").is_some());
    let (one, two) = (first.chat("u").await, second.chat("u").await);
    second.chat("u").await;
    let moved = first.with_key(&key);
    let never = ChatId::generate();
    for operation in operations(&moved, never.as_str()) {
        moved.send(operation).await;
    }
    assert_eq!(moved.get("/api/v1/chats/user/u").await.body["total"], 1);

    assert!(stack.tenants().revoke_key(&first.id, &hash).await.expect("the table answers"));
    let new = NewKey { key: &hash, expires_at: None };
    assert!(stack.tenants().add_key(&second.id, new, now).await.expect("the table answers").is_some());
    for chat in [&two, &one] {
        let expected = if *chat == two { StatusCode::CREATED } else { StatusCode::NOT_FOUND };
        let ticket = moved.send(moved.request(Method::POST, &format!("/api/v1/chats/{chat}/tickets"))).await;
        assert_eq!(ticket.status, expected);
    }
    assert_eq!(moved.get("/api/v1/chats/user/u").await.body["total"], 2);
    assert_eq!(moved.delete(&format!("/api/v1/chats/{two}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(moved.delete(&format!("/api/v1/chats/{one}")).await.code(), "CHAT_NOT_FOUND");
    assert_eq!(first.get("/api/v1/chats/user/u").await.body["total"], 1);
}
