//! `GET /api/v1/chats/{chat_id}`.

mod black_box {
    use reqwest::StatusCode;
    use serde_json::json;
    use tests::Api;

    #[tokio::test]
    async fn shows_the_chat_as_it_was_made() {
        let tenant = Api::shared().tenant("get").await;
        let made = tenant.post("/api/v1/chats/", &json!({ "user_id": "u", "title": "T" })).await;
        let chat = made.body["chat_id"].as_str().expect("an id");
        let read = tenant.get(&format!("/api/v1/chats/{chat}")).await;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &made.body));
        assert!(read.headers.contains_key("x-request-id"));
    }

    #[tokio::test]
    async fn counts_messages() {
        let tenant = Api::shared().tenant("count").await;
        let chat = tenant.chat("u").await;
        tenant.connect(&chat, "u").await.say("Hello").await;
        let read = tenant.get(&format!("/api/v1/chats/{chat}")).await.body;
        assert_eq!(read["message_count"], 2);
        assert!(read["last_message_at"].as_str() > read["created_at"].as_str(), "{read}");
    }

    #[tokio::test]
    async fn another_tenants_chat_is_one_that_never_was() {
        let (owner, stranger) = (Api::shared().tenant("owner").await, Api::shared().tenant("stranger").await);
        let theirs = owner.chat("u").await;
        let never = shared::domain::id::ChatId::generate().to_string();
        for path in ["", "/messages"] {
            let foreign = stranger.get(&format!("/api/v1/chats/{theirs}{path}")).await;
            let unknown = stranger.get(&format!("/api/v1/chats/{never}{path}")).await;
            assert_eq!((foreign.status, foreign.code()), (StatusCode::NOT_FOUND, "CHAT_NOT_FOUND"));
            let plain = |answer: &tests::Answer, id: &str| answer.body["error"].to_string().replace(id, "ID");
            assert_eq!(plain(&foreign, &theirs), plain(&unknown, &never));
        }
        let odd = stranger.get("/api/v1/chats/no-such-form").await;
        assert_eq!((odd.status, odd.code()), (StatusCode::NOT_FOUND, "CHAT_NOT_FOUND"));
    }
}
