//! Tenants are isolated: every operation with every foreign id gets the response to an unknown id.

use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::domain::{
    api_key::ApiKey,
    id::{ChatId, MessageId},
    tenant::{NewKey, TenantStatus},
    time::Timestamp,
};
use tests::{Response, Stack, Tenant};

/// Status, headers and body of a response, without what differs in every response.
fn comparable(response: &Response, id: &str) -> (StatusCode, Vec<String>, String) {
    let mut headers: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            !(name.starts_with("x-ratelimit")
                || name.starts_with("ratelimit")
                || name.contains("request")
                || name == "date")
        })
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
        .collect();
    headers.sort();
    let mut body = response.body.clone();
    if let Some(body) = body.as_object_mut() {
        for id in ["request_id", "requestId", "connectionId"] {
            body.remove(id);
        }
    }
    (response.status, headers, body.to_string().replace(id, "ID"))
}

/// Every REST operation on a chat.
fn operations<Id: Clone>(tenant: &Tenant<Id>, chat: &str) -> Vec<reqwest::RequestBuilder> {
    let path = |rest: &str| format!("/api/v1/chats/{chat}{rest}");
    vec![
        tenant.request(Method::GET, &path("")),
        tenant.request(Method::PATCH, &path("")).json(&json!({ "title": "changed" })),
        tenant.request(Method::GET, &path("/messages")),
        tenant.request(Method::GET, &path("/messages?order=desc&offset=1")),
        tenant.request(Method::POST, &path("/tickets")),
        tenant.request(Method::DELETE, &path("")),
    ]
}

/// Some handlers read an item beside the admission.
#[tokio::test]
async fn refused_request_reveals_nothing_read_beside_the_admission() {
    let stack = Stack::shared();
    let tenant = stack.tenant("refused").await;
    let (known, unknown) = (tenant.chat("u").await, ChatId::generate().to_string());
    // From now on the functions remember the tenant of the key.
    for operation in operations(&tenant, &unknown) {
        assert_eq!(tenant.send(operation).await.code(), "CHAT_NOT_FOUND");
    }
    tenant.get("/api/v1/chats/user/u").await;
    let suspended = TenantStatus::Suspended;
    assert!(stack.tenants().set_status(&tenant.id, suspended).await.expect("DynamoDB responds"));

    for (one, other) in operations(&tenant, &known).into_iter().zip(operations(&tenant, &unknown)) {
        let (one, other) = (tenant.send(one).await, tenant.send(other).await);
        assert_eq!(one.code(), "TENANT_SUSPENDED");
        assert_eq!(comparable(&one, &known), comparable(&other, &unknown));
    }
    let (one, other) = (tenant.get("/api/v1/chats/user/u").await, tenant.get("/api/v1/chats/user/unknown").await);
    assert_eq!((one.code(), comparable(&one, "")), ("TENANT_SUSPENDED", comparable(&other, "")));
}

#[tokio::test]
async fn key_moved_to_another_tenant_opens_nothing_of_the_first() {
    let stack = Stack::shared();
    let (first, second) = (stack.tenant("first").await, stack.tenant("second").await);
    let (key, now) = (format!("key-{}", MessageId::generate()), Timestamp::now());
    let hash = ApiKey::new(&key).hash();
    let new = NewKey { key: &hash, expires_at: None };
    assert!(stack.tenants().add_key(&first.id, new, now).await.expect("DynamoDB responds").is_some());
    let (one, two) = (first.chat("u").await, second.chat("u").await);
    second.chat("u").await;
    let moved = first.with_key(&key);
    let unknown = ChatId::generate();
    for operation in operations(&moved, unknown.as_str()) {
        moved.send(operation).await;
    }
    assert_eq!(moved.get("/api/v1/chats/user/u").await.body["total"], 1);

    assert!(stack.tenants().revoke_key(&first.id, &hash).await.expect("DynamoDB responds"));
    let new = NewKey { key: &hash, expires_at: None };
    assert!(stack.tenants().add_key(&second.id, new, now).await.expect("DynamoDB responds").is_some());
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

mod black_box {
    use std::time::Duration;

    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};
    use shared::domain::id::{ChatId, MessageId};
    use tests::{Api, Customer};

    use super::{comparable, operations};

    #[tokio::test]
    async fn chat_of_another_tenant_looks_like_an_unknown_chat() {
        let api = Api::shared();
        let (owner, other) = (api.tenant("owner").await, api.tenant("other").await);
        let theirs = owner.chat_with(&json!({ "user_id": "u", "title": "secret" })).await;
        owner.connect(&theirs, "u").await.say("secret").await;
        let before = owner.get(&format!("/api/v1/chats/{theirs}")).await.body;
        let unknown_id = ChatId::generate().to_string();

        let foreign = operations(&other, &theirs);
        let unknown = operations(&other, &unknown_id);
        for (foreign, unknown) in foreign.into_iter().zip(unknown) {
            let (foreign, unknown) = (other.send(foreign).await, other.send(unknown).await);
            assert_eq!(foreign.code(), "CHAT_NOT_FOUND");
            assert_eq!(comparable(&foreign, &theirs), comparable(&unknown, &unknown_id));
        }
        for user in ["u", "v"] {
            let refused = async |chat: &str| {
                let query = format!("api_key={}&user_id={user}&chat_id={chat}", other.key);
                let refusal = other.refusal(&query).await;
                assert_eq!(refusal.status, Api::shared().refusal(StatusCode::NOT_FOUND));
                comparable(&refusal, chat)
            };
            assert_eq!(refused(&theirs).await, refused(&unknown_id).await);
        }

        // Nothing had an effect, and no foreign chat is listed.
        assert_eq!(owner.get(&format!("/api/v1/chats/{theirs}")).await.body, before);
        let listed = other.get("/api/v1/chats/user/u").await.body;
        assert_eq!((&listed["total"], &listed["chats"]), (&0.into(), &json!([])));
    }

    #[tokio::test]
    async fn ids_chosen_by_clients_are_scoped_to_tenant_and_chat() {
        let api = Api::shared();
        let (one, two) = (api.tenant("one").await, api.tenant("two").await);
        let body = json!({ "user_id": "u" });
        let create = async |tenant: &Customer, body: &Value| {
            tenant
                .send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "same").json(body))
                .await
        };
        let (first, second) = (create(&one, &body).await, create(&two, &json!({ "user_id": "v" })).await);
        assert_eq!(
            (first.status, second.status),
            (StatusCode::CREATED, StatusCode::CREATED),
            "no mismatch across tenants"
        );
        assert_ne!(first.body["chat_id"], second.body["chat_id"]);

        // The same client_message_id in two chats of one tenant and in one of another.
        let mut answered = Vec::new();
        for tenant in [&one, &one, &two] {
            let chat = tenant.chat("u").await;
            let mut socket = tenant.connect(&chat, "u").await;
            socket.send(&json!({ "content": "Hello", "client_message_id": "same" })).await;
            answered.push(socket.next_of("message_stream_ended").await["message_id"].clone());
        }
        answered.dedup();
        assert_eq!(answered.len(), 3);
    }

    #[tokio::test]
    async fn users_of_one_tenant_are_separate() {
        let tenant = Api::shared().tenant("users").await;
        let (hers, his) = (tenant.chat("her").await, tenant.chat("him").await);
        let query = format!("api_key={}&user_id=him&chat_id={hers}", tenant.key);
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(StatusCode::FORBIDDEN)));
        let (mut her, mut him) = (tenant.connect(&hers, "her").await, tenant.connect(&his, "him").await);
        her.say("Hello from her").await;
        let events = him.say("Hello from him").await;
        assert!(events.iter().all(|event| event["chat_id"] == his.as_str()), "{events:?}");
        let listed = tenant.get("/api/v1/chats/user/him").await.body;
        assert_eq!(listed["total"], 1);
        assert!(!listed.to_string().contains(&hers));
    }

    #[tokio::test]
    async fn ticket_opens_only_its_own_chat() {
        let api = Api::shared();
        let (owner, other) = (api.tenant("owner").await, api.tenant("other").await);
        let chat = owner.chat("u").await;
        let created = owner.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await;
        let ticket = created.body["ticket"].as_str().expect("a ticket");
        // The ticket decides, not the rest of the query.
        let other_chat = other.chat("u").await;
        let query = format!("ticket={ticket}&user_id=u&chat_id={other_chat}&api_key={}", other.key);
        let mut socket = other.connect_with(&query, &[]).await.expect("a handshake");
        assert_eq!(socket.next_of("connection_established").await["chat_id"], chat.as_str());
        let guess = format!("ticket=tk_{}", MessageId::generate());
        assert_eq!(other.connect_with(&guess, &[]).await.err(), Some(Api::shared().refusal(StatusCode::UNAUTHORIZED)));
    }

    #[tokio::test]
    async fn message_of_another_chat_or_tenant_looks_like_an_unknown_message() {
        let api = Api::shared();
        let (tenant, other) = (api.tenant("stream commands").await, api.tenant("other").await);
        let (chat, other_chat, foreign) = (tenant.chat("u").await, tenant.chat("u").await, other.chat("u").await);
        let mut socket = tenant.connect(&chat, "u").await;
        let exchange = socket.say("Hello").await;
        let other_answer = tenant.connect(&other_chat, "u").await.say("Hello").await.pop().expect("an end");
        let foreign = other.connect(&foreign, "u").await.say("Hello").await.pop().expect("an end");
        let ids = [
            json!(MessageId::at(1)),
            json!("not-a-message-id"),
            other_answer["message_id"].clone(),
            foreign["message_id"].clone(),
            exchange[0]["message_id"].clone(),
        ];
        for kind in ["cancel", "resume", "regenerate"] {
            let mut errors = Vec::new();
            for id in &ids {
                let mut frame = json!({ "type": kind, "message_id": id });
                if kind == "resume" {
                    frame["offset"] = json!(0);
                }
                socket.send(&frame).await;
                let mut error = socket.next_of("error").await;
                assert_eq!(error["error"]["details"]["message_id"], *id);
                for varying in ["request_id", "timestamp"] {
                    error[varying].take();
                }
                error["error"]["details"]["message_id"].take();
                errors.push(error);
                // The limit is 10 frames a second.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert!(errors.iter().all(|error| *error == errors[0]), "{kind}: {errors:#?}");
            assert_eq!(errors[0]["error"]["code"], "MESSAGE_NOT_FOUND");
        }
    }
}
