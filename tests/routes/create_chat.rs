//! `POST /api/v1/chats/`, and its `Idempotency-Key`.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use shared::{
    domain::{chat::NewChat, id::IdempotencyKey, input::Fields, time::Timestamp},
    storage::{CreateResult, IdempotencyRequest},
};
use tests::Stack;

/// Through the API the function's only process serializes the requests; here nothing does.
#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_transactions_with_one_idempotency_key_create_one_chat() {
    let stack = Stack::shared();
    let tenant = stack.tenant("create race").await;
    let (chats, now) = (stack.chats(), Timestamp::now());
    let create = |body: &'static str| {
        let (chats, tenant) = (chats.clone(), tenant.id.clone());
        tokio::spawn(async move {
            let chat = NewChat::read(Fields::from_json(body.as_bytes()).expect("JSON")).expect("a chat");
            let idempotency = IdempotencyRequest::new(IdempotencyKey::parse("k").expect("a key"), body.as_bytes());
            chats.create(&tenant, chat, Some(&idempotency), now).await.expect("DynamoDB responds")
        })
    };
    let same = r#"{"user_id":"u"}"#;
    let created = join_all((0..50).map(|_| create(same))).await;
    let mut new = 0;
    let mut ids = BTreeSet::new();
    for created in created {
        ids.insert(match created.expect("it ends") {
            CreateResult::Created(chat) => {
                new += 1;
                chat.chat_id
            }
            CreateResult::Replayed { chat_id, .. } => chat_id,
            CreateResult::Mismatch => panic!("the bodies are equal"),
        });
    }
    assert_eq!((new, ids.len()), (1, 1));
    let others = join_all((0..10).map(|_| create(r#"{"user_id":"u","title":"other"}"#))).await;
    assert!(others.into_iter().all(|other| matches!(other, Ok(CreateResult::Mismatch))));
    let page = tenant.get("/api/v1/chats/user/u").await.body;
    assert_eq!((&page["total"], page["chats"].as_array().map(Vec::len)), (&1.into(), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_models_that_are_not_allowed_are_refused() {
    let tenant = Stack::shared().tenant("disallowed").await;
    for (config, field, got) in [
        (json!({ "agent": "openai", "model": "gpt-5" }), "config.agent", json!("openai")),
        (json!({ "agent": "bedrock" }), "config.agent", json!("bedrock")),
        (json!({ "model": "echo@0.001" }), "config.model", json!("echo@0.001")),
        (json!({ "max_tokens": 100_000 }), "config.max_tokens", json!(100_000)),
    ] {
        let refused = tenant.post("/api/v1/chats/", &json!({ "user_id": "u", "config": config })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "INVALID_PARAMETER"), "{}", refused.body);
        let details = &refused.body["error"]["details"];
        assert_eq!((&details["field"], &details["got"]), (&json!(field), &got));
        assert!(details["allowed"].is_string() && details["suggestion"].is_string(), "{details}");
    }
    assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 0);
}

mod black_box {
    use futures_util::future::join_all;
    use reqwest::{Method, StatusCode, header};
    use serde_json::{Value, json};
    use tests::{Api, Customer, Response};

    async fn create(tenant: &Customer, key: &str, body: &Value) -> Response {
        tenant.send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", key).json(body)).await
    }

    #[tokio::test]
    async fn created_chat_has_the_fields_of_the_request() {
        let tenant = Api::shared().tenant("create").await;
        let response = tenant
        .post(
            "/api/v1/chats/",
            &json!({
                "user_id": "user123",
                "title": "Invoice 7 – Grüße 👋",
                "metadata": { "order": 7, "tags": ["a"], "price": 0.1, "big": 9007199254740991_u64 },
                "config": { "model": "echo@100", "temperature": 0.5, "max_tokens": 20, "system_prompt": "Be brief." },
            }),
        )
        .await;
        assert_eq!(response.status, StatusCode::CREATED, "{}", response.body);
        let chat = &response.body;
        let chat_id = chat["chat_id"].as_str().expect("an id");
        assert!(chat_id.starts_with("chat_"));
        assert_eq!(response.headers[header::LOCATION], format!("/api/v1/chats/{chat_id}"));
        assert_eq!(response.headers[header::CONTENT_TYPE], "application/json");
        let created_at = &chat["created_at"];
        assert_eq!(created_at.as_str().map(str::len), Some("2026-01-31T09:30:00.000Z".len()), "{created_at}");
        assert_eq!(
            *chat,
            json!({
                "chat_id": chat_id,
                "user_id": "user123",
                "title": "Invoice 7 – Grüße 👋",
                "metadata": { "order": 7, "tags": ["a"], "price": 0.1, "big": 9007199254740991_u64 },
                "config": {
                    "agent": "echo", "model": "echo@100", "system_prompt": "Be brief.", "temperature": 0.5, "max_tokens": 20,
                },
                "message_count": 0,
                "created_at": created_at,
                "updated_at": created_at,
                "last_message_at": null,
            })
        );
    }

    #[tokio::test]
    async fn trailing_slash_is_optional_and_deeper_paths_do_not_exist() {
        let tenant = Api::shared().tenant("slash").await;
        let body = json!({ "user_id": "u" });
        assert_eq!(tenant.post("/api/v1/chats/", &body).await.status, StatusCode::CREATED);
        assert_eq!(tenant.post("/api/v1/chats", &body).await.status, StatusCode::CREATED);

        let below = tenant.post("/api/v1/chats/chat_x", &body).await;
        assert_eq!((below.status, below.code()), (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"));
        assert_eq!(below.headers[header::ALLOW], "DELETE, GET, PATCH");
        let deeper = tenant.post("/api/v1/chats/a/b/c", &body).await;
        assert_eq!((deeper.status, deeper.code()), (StatusCode::NOT_FOUND, "ROUTE_NOT_FOUND"));
    }

    #[tokio::test]
    async fn invalid_body_is_refused_with_the_field() {
        let tenant = Api::shared().tenant("bad bodies").await;
        let send = async |body: &str| {
            let request = tenant.request(Method::POST, "/api/v1/chats/").header("Content-Type", "application/json");
            tenant.send(request.body(body.to_owned())).await
        };
        for (body, status, code, field) in [
            ("", 400, "INVALID_JSON", Value::Null),
            ("{\"user_id\":", 400, "INVALID_JSON", Value::Null),
            ("[1]", 400, "INVALID_JSON", Value::Null),
            ("{}", 400, "MISSING_PARAMETER", json!("user_id")),
            ("{\"user_id\":\"a b\"}", 400, "INVALID_PARAMETER", json!("user_id")),
            ("{\"user_id\":\"u\",\"titel\":\"x\"}", 400, "UNKNOWN_FIELD", json!("titel")),
            ("{\"user_id\":\"u\",\"config\":{\"agent\":\"unknown\"}}", 400, "INVALID_PARAMETER", json!("config.agent")),
        ] {
            let response = send(body).await;
            assert_eq!((response.status.as_u16(), response.code()), (status, code), "{body}: {}", response.body);
            let error = &response.body["error"];
            assert_eq!(error["details"]["field"], field, "{body}");
            assert!(error["details"]["suggestion"].is_string() && error["message"].is_string(), "{error}");
            assert_eq!(response.body["request_id"], response.headers["x-request-id"].to_str().expect("text"));
        }
        let queried = tenant.post("/api/v1/chats/?colour=red", &json!({ "user_id": "u" })).await;
        assert_eq!((queried.status.as_u16(), queried.code()), (400, "UNKNOWN_FIELD"));
        let large = send(&json!({ "user_id": "u", "title": "x".repeat(64 * 1024) }).to_string()).await;
        assert_eq!((large.status.as_u16(), large.code()), (413, "PAYLOAD_TOO_LARGE"));

        let form = tenant.request(Method::POST, "/api/v1/chats/").header("Content-Type", "text/plain");
        let form = tenant.send(form.body("{\"user_id\":\"u\"}")).await;
        assert_eq!((form.status.as_u16(), form.code()), (415, "UNSUPPORTED_MEDIA_TYPE"));
    }

    #[tokio::test]
    async fn same_idempotency_key_and_body_get_the_same_response() {
        let tenant = Api::shared().tenant("idempotency").await;
        let body = json!({ "user_id": "u", "title": "T" });
        let (first, second) = (create(&tenant, "k1", &body).await, create(&tenant, "k1", &body).await);
        assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!(first.body, second.body);
        assert_eq!(first.headers[header::LOCATION], second.headers[header::LOCATION]);
        let other_key = create(&tenant, "k2", &body).await;
        assert_ne!(other_key.body["chat_id"], first.body["chat_id"]);
        assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 2);
    }

    #[tokio::test]
    async fn same_idempotency_key_with_another_body_is_refused() {
        let tenant = Api::shared().tenant("mismatch").await;
        create(&tenant, "k", &json!({ "user_id": "u" })).await;
        let other = create(&tenant, "k", &json!({ "user_id": "v" })).await;
        assert_eq!((other.status.as_u16(), other.code()), (422, "IDEMPOTENCY_MISMATCH"));
    }

    #[tokio::test]
    async fn simultaneous_requests_with_one_idempotency_key_create_one_chat() {
        let tenant = Api::shared().tenant("race").await;
        let body = json!({ "user_id": "u" });
        let responses = join_all((0..20).map(|_| create(&tenant, "k", &body))).await;
        assert!(responses.iter().all(|one| one.status == StatusCode::CREATED && one.body == responses[0].body));
        assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 1);
    }

    #[tokio::test]
    async fn idempotency_keys_of_two_tenants_are_separate() {
        let (one, two) = (Api::shared().tenant("one").await, Api::shared().tenant("two").await);
        let body = json!({ "user_id": "u" });
        let (first, second) = (create(&one, "k", &body).await, create(&two, "k", &body).await);
        assert_ne!(first.body["chat_id"], second.body["chat_id"]);
        assert_eq!(create(&two, "k", &json!({ "user_id": "v" })).await.status.as_u16(), 422);
    }

    #[tokio::test]
    async fn idempotency_key_has_1_to_255_characters() {
        let tenant = Api::shared().tenant("key bounds").await;
        let body = json!({ "user_id": "u" });
        assert_eq!(create(&tenant, &"k".repeat(255), &body).await.status, StatusCode::CREATED);
        for bad in ["", &"k".repeat(256)] {
            let response = create(&tenant, bad, &body).await;
            assert_eq!((response.status.as_u16(), response.code()), (400, "INVALID_PARAMETER"));
            assert_eq!(response.body["error"]["details"]["field"], "Idempotency-Key");
        }
    }
}
