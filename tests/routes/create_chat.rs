//! `POST /api/v1/chats/`.

mod black_box {
    use reqwest::{Method, StatusCode, header};
    use serde_json::{Value, json};
    use tests::Api;

    #[tokio::test]
    async fn makes_a_chat_with_what_was_sent() {
        let tenant = Api::shared().tenant("create").await;
        let answer = tenant
        .post(
            "/api/v1/chats/",
            &json!({
                "user_id": "user123",
                "title": "Invoice 7 – Grüße 👋",
                "metadata": { "order": 7, "tags": ["a"], "price": 0.1, "big": 12345678901234567890_u64 },
                "config": { "model": "echo@100", "temperature": 0.5, "max_tokens": 20, "system_prompt": "Be brief." },
            }),
        )
        .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let chat = &answer.body;
        let chat_id = chat["chat_id"].as_str().expect("an id");
        assert!(chat_id.starts_with("chat_"));
        assert_eq!(answer.headers[header::LOCATION], format!("/api/v1/chats/{chat_id}"));
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
        let created_at = &chat["created_at"];
        assert_eq!(created_at.as_str().map(str::len), Some("2026-01-31T09:30:00.000Z".len()), "{created_at}");
        assert_eq!(
            *chat,
            json!({
                "chat_id": chat_id,
                "user_id": "user123",
                "title": "Invoice 7 – Grüße 👋",
                "metadata": { "order": 7, "tags": ["a"], "price": 0.1, "big": 12345678901234567890_u64 },
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
    async fn works_with_and_without_the_slash_and_nowhere_below_it() {
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
    async fn refuses_bodies_that_are_wrong_and_says_what_is() {
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
            ("{\"user_id\":\"u\",\"config\":{\"agent\":\"nobody\"}}", 400, "INVALID_PARAMETER", json!("config.agent")),
        ] {
            let answer = send(body).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {}", answer.body);
            let error = &answer.body["error"];
            assert_eq!(error["details"]["field"], field, "{body}");
            assert!(error["details"]["suggestion"].is_string() && error["message"].is_string(), "{error}");
            assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().expect("text"));
        }
        let queried = tenant.post("/api/v1/chats/?colour=red", &json!({ "user_id": "u" })).await;
        assert_eq!((queried.status.as_u16(), queried.code()), (400, "UNKNOWN_FIELD"));
        let large = send(&json!({ "user_id": "u", "title": "x".repeat(64 * 1024) }).to_string()).await;
        assert_eq!((large.status.as_u16(), large.code()), (413, "PAYLOAD_TOO_LARGE"));

        let form = tenant.request(Method::POST, "/api/v1/chats/").header("Content-Type", "text/plain");
        let form = tenant.send(form.body("{\"user_id\":\"u\"}")).await;
        assert_eq!((form.status.as_u16(), form.code()), (415, "UNSUPPORTED_MEDIA_TYPE"));
    }
}
