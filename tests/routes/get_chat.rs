//! `GET /api/v1/chats/{chat_id}`.

mod black_box {
    use reqwest::StatusCode;
    use serde_json::json;
    use tests::Api;

    #[tokio::test]
    async fn response_equals_that_of_create() {
        let tenant = Api::shared().tenant("get").await;
        let created = tenant.post("/api/v1/chats/", &json!({ "user_id": "u", "title": "T" })).await;
        let chat = created.body["chat_id"].as_str().expect("an id");
        let read = tenant.get(&format!("/api/v1/chats/{chat}")).await;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &created.body));
        assert!(read.headers.contains_key("x-request-id"));
    }

    #[tokio::test]
    async fn message_count_and_last_message_time_are_updated() {
        let tenant = Api::shared().tenant("count").await;
        let chat = tenant.chat("u").await;
        tenant.connect(&chat, "u").await.say("Hello").await;
        let read = tenant.get(&format!("/api/v1/chats/{chat}")).await.body;
        assert_eq!(read["message_count"], 2);
        assert!(read["last_message_at"].as_str() > read["created_at"].as_str(), "{read}");
    }

    #[tokio::test]
    async fn chat_of_another_tenant_looks_like_an_unknown_chat() {
        let (owner, other) = (Api::shared().tenant("owner").await, Api::shared().tenant("other").await);
        let theirs = owner.chat("u").await;
        let unknown_id = shared::domain::id::ChatId::generate().to_string();
        for path in ["", "/messages"] {
            let foreign = other.get(&format!("/api/v1/chats/{theirs}{path}")).await;
            let unknown = other.get(&format!("/api/v1/chats/{unknown_id}{path}")).await;
            assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, "CHAT_NOT_FOUND"));
            let plain = |response: &tests::Response, id: &str| response.body["error"].to_string().replace(id, "ID");
            assert_eq!(plain(&foreign, &theirs), plain(&unknown, &unknown_id));
        }
        let malformed = other.get("/api/v1/chats/not-a-chat-id").await;
        assert_eq!((malformed.status, malformed.code()), (StatusCode::NOT_FOUND, "CHAT_NOT_FOUND"));
    }
}
