//! `PATCH /api/v1/chats/{chat_id}`.

use reqwest::Method;
use serde_json::json;
use tests::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_models_that_are_not_allowed_are_refused() {
    let tenant = Stack::shared().tenant("disallowed patches").await;
    let chat = format!("/api/v1/chats/{}", tenant.chat("u").await);
    for (config, field) in [
        (json!({ "agent": "openai", "model": "gpt-5" }), "config.agent"),
        (json!({ "agent": "bedrock" }), "config.agent"),
        (json!({ "model": "echo@0.001" }), "config.model"),
        (json!({ "max_tokens": 100_000 }), "config.max_tokens"),
    ] {
        let refused = tenant.send(tenant.request(Method::PATCH, &chat).json(&json!({ "config": config }))).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "INVALID_PARAMETER"), "{}", refused.body);
        assert_eq!(refused.body["error"]["details"]["field"], field);
    }
    let config = tenant.get(&chat).await.body["config"].clone();
    assert_eq!(
        (&config["agent"], &config["model"], &config["max_tokens"]),
        (&json!("echo"), &json!(null), &json!(null))
    );
    let missing = tenant.request(Method::PATCH, "/api/v1/chats/chat_01M83B8Y8V6KJPM4TQ4Z5S4R0C");
    let missing = tenant.send(missing.json(&json!({ "config": { "model": "echo@5" } }))).await;
    assert_eq!(missing.code(), "CHAT_NOT_FOUND");
}

mod black_box {
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};
    use tests::{Api, Customer, Response};

    async fn patch(tenant: &Customer, chat: &str, body: &Value) -> Response {
        tenant.send(tenant.request(Method::PATCH, &format!("/api/v1/chats/{chat}")).json(body)).await
    }

    #[tokio::test]
    async fn named_fields_change_and_others_stay() {
        let tenant = Api::shared().tenant("patch").await;
        let chat = tenant
        .chat_with(&json!({
            "user_id": "u", "title": "old", "metadata": { "a": 1, "b": 2 }, "config": { "model": "echo@5", "temperature": 1 },
        }))
        .await;
        let before = tenant.get(&format!("/api/v1/chats/{chat}")).await.body;

        let renamed = patch(&tenant, &chat, &json!({ "title": "new" })).await;
        assert_eq!((renamed.status, &renamed.body["title"]), (StatusCode::OK, &"new".into()));
        assert!(renamed.body["updated_at"].as_str() > before["updated_at"].as_str());
        for field in ["user_id", "metadata", "config", "message_count", "created_at", "last_message_at"] {
            assert_eq!(renamed.body[field], before[field], "{field}");
        }

        let replaced = patch(&tenant, &chat, &json!({ "metadata": { "c": 3 } })).await;
        assert_eq!(replaced.body["metadata"], json!({ "c": 3 }), "metadata is replaced as a whole");

        let tuned = patch(&tenant, &chat, &json!({ "config": { "temperature": null, "max_tokens": 9 } })).await;
        let config = &tuned.body["config"];
        assert_eq!(
            (&config["agent"], &config["model"], &config["temperature"], &config["max_tokens"]),
            (&json!("echo"), &json!("echo@5"), &Value::Null, &json!(9)),
            "unnamed fields of the configuration stay"
        );

        let cleared = patch(&tenant, &chat, &json!({ "title": null, "metadata": null, "config": null })).await;
        assert_eq!((&cleared.body["title"], &cleared.body["metadata"]), (&Value::Null, &json!({})));
        assert_eq!(cleared.body["config"]["model"], Value::Null);
        assert_eq!(tenant.get(&format!("/api/v1/chats/{chat}")).await.body, cleared.body);
        let events = tenant.connect(&chat, "u").await.say("still works").await;
        assert_eq!(
            events.last().expect("an end")["finish_reason"],
            "stop",
            "a cleared configuration means the defaults"
        );
    }

    #[tokio::test]
    async fn invalid_field_is_refused() {
        let tenant = Api::shared().tenant("bad patches").await;
        let chat = tenant.chat("u").await;
        for (body, code, field) in [
            (json!({ "title": "x".repeat(201) }), "INVALID_PARAMETER", "title"),
            (json!({ "user_id": "v" }), "UNKNOWN_FIELD", "user_id"),
            (json!({ "config": { "agent": "unknown" } }), "INVALID_PARAMETER", "config.agent"),
            (json!({ "config": { "colour": 1 } }), "UNKNOWN_FIELD", "config.colour"),
        ] {
            let response = patch(&tenant, &chat, &body).await;
            assert_eq!((response.status.as_u16(), response.code()), (400, code), "{body}");
            assert_eq!(response.body["error"]["details"]["field"], field);
        }
    }

    #[tokio::test]
    async fn chat_of_another_tenant_or_a_deleted_chat_cannot_be_changed() {
        let (owner, other) = (Api::shared().tenant("owner").await, Api::shared().tenant("other").await);
        let chat = owner.chat("u").await;
        assert_eq!(patch(&other, &chat, &json!({ "title": "mine" })).await.code(), "CHAT_NOT_FOUND");
        owner.delete(&format!("/api/v1/chats/{chat}")).await;
        assert_eq!(patch(&owner, &chat, &json!({ "title": "back" })).await.code(), "CHAT_NOT_FOUND");
        assert_eq!(owner.get(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NOT_FOUND);
    }
}
