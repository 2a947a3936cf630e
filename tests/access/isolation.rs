//! Tenants know nothing of each other: every operation with every kind of foreign id gets the answer of a thing that
//! never existed.

use reqwest::{Method, StatusCode};
use shared::{
    domain::{
        api_key::ApiKey,
        id::{ChatId, MessageId},
        time::Timestamp,
    },
    storage::{NewKey, TenantStatus},
};
use tests::Stack;

use self::black_box::{operations, said};

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

mod black_box {
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};
    use shared::domain::id::{ChatId, MessageId};
    use tests::{Answer, Api, Tenant};

    /// What an answer says, without what is different in every answer.
    pub(crate) fn said(answer: &Answer, id: &str) -> (StatusCode, Vec<String>, String) {
        let mut headers: Vec<String> = answer
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
        let mut body = answer.body.clone();
        if let Some(body) = body.as_object_mut() {
            for id in ["request_id", "requestId", "connectionId"] {
                body.remove(id);
            }
        }
        (answer.status, headers, body.to_string().replace(id, "ID"))
    }

    /// All REST operations that name a chat.
    pub(crate) fn operations<Id: Clone>(tenant: &Tenant<Id>, chat: &str) -> Vec<reqwest::RequestBuilder> {
        let path = |rest: &str| format!("/api/v1/chats/{chat}{rest}");
        vec![
            tenant.request(Method::GET, &path("")),
            tenant.request(Method::PATCH, &path("")).json(&json!({ "title": "mine now" })),
            tenant.request(Method::GET, &path("/messages")),
            tenant.request(Method::GET, &path("/messages?order=desc&offset=1")),
            tenant.request(Method::POST, &path("/tickets")),
            tenant.request(Method::DELETE, &path("")),
        ]
    }

    #[tokio::test]
    async fn what_is_anothers_is_what_never_was() {
        let api = Api::shared();
        let (owner, stranger) = (api.tenant("owner").await, api.tenant("stranger").await);
        let theirs = owner.chat_with(&json!({ "user_id": "u", "title": "secret" })).await;
        owner.connect(&theirs, "u").await.say("secret").await;
        let before = owner.get(&format!("/api/v1/chats/{theirs}")).await.body;
        let never = ChatId::generate().to_string();

        let foreign = operations(&stranger, &theirs);
        let unknown = operations(&stranger, &never);
        for (foreign, unknown) in foreign.into_iter().zip(unknown) {
            let (foreign, unknown) = (stranger.send(foreign).await, stranger.send(unknown).await);
            assert_eq!(foreign.code(), "CHAT_NOT_FOUND");
            assert_eq!(said(&foreign, &theirs), said(&unknown, &never));
        }
        for user in ["u", "someone"] {
            let refused = async |chat: &str| {
                let query = format!("api_key={}&user_id={user}&chat_id={chat}", stranger.key);
                let refusal = stranger.refusal(&query).await;
                assert_eq!(refusal.status, Api::shared().refusal(StatusCode::NOT_FOUND));
                said(&refusal, chat)
            };
            assert_eq!(refused(&theirs).await, refused(&never).await);
        }

        // Nothing of all that had an effect, and nothing foreign is listed.
        assert_eq!(owner.get(&format!("/api/v1/chats/{theirs}")).await.body, before);
        let listed = stranger.get("/api/v1/chats/user/u").await.body;
        assert_eq!((&listed["total"], &listed["chats"]), (&0.into(), &json!([])));
    }

    #[tokio::test]
    async fn ids_that_tenants_choose_are_their_own() {
        let api = Api::shared();
        let (one, two) = (api.tenant("one").await, api.tenant("two").await);
        let body = json!({ "user_id": "u" });
        let create = async |tenant: &tests::Customer, body: &Value| {
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

        // The same client's id in two chats, of one tenant and of two.
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
    async fn users_of_one_tenant_do_not_hear_each_other() {
        let tenant = Api::shared().tenant("users").await;
        let (hers, his) = (tenant.chat("her").await, tenant.chat("him").await);
        let query = format!("api_key={}&user_id=him&chat_id={hers}", tenant.key);
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(StatusCode::FORBIDDEN)));
        let (mut her, mut him) = (tenant.connect(&hers, "her").await, tenant.connect(&his, "him").await);
        her.say("for me alone").await;
        let heard = him.say("and this for me").await;
        assert!(heard.iter().all(|event| event["chat_id"] == his.as_str()), "{heard:?}");
        let listed = tenant.get("/api/v1/chats/user/him").await.body;
        assert_eq!(listed["total"], 1);
        assert!(!listed.to_string().contains(&hers));
    }

    #[tokio::test]
    async fn a_ticket_leads_only_where_it_was_made_for() {
        let api = Api::shared();
        let (owner, stranger) = (api.tenant("owner").await, api.tenant("stranger").await);
        let chat = owner.chat("u").await;
        let made = owner.post(&format!("/api/v1/chats/{chat}/tickets"), &json!({})).await;
        let ticket = made.body["ticket"].as_str().expect("a ticket");
        // Whatever else is in the query, the ticket decides.
        let elsewhere = stranger.chat("u").await;
        let query = format!("ticket={ticket}&user_id=u&chat_id={elsewhere}&api_key={}", stranger.key);
        let mut socket = stranger.connect_with(&query, &[]).await.expect("a handshake");
        assert_eq!(socket.next_of("connection_established").await["chat_id"], chat.as_str());
        let guess = format!("ticket=tk_{}", MessageId::generate());
        assert_eq!(
            stranger.connect_with(&guess, &[]).await.err(),
            Some(Api::shared().refusal(StatusCode::UNAUTHORIZED))
        );
    }
}
