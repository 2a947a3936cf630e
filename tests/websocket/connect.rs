//! `$connect`.

mod black_box {
    use reqwest::StatusCode;
    use serde_json::{Value, json};
    use tests::Api;

    #[tokio::test]
    async fn first_events_are_connection_established_and_user_created() {
        let tenant = Api::shared().tenant("connect").await;
        let chat = tenant.chat("user123").await;
        let mut socket = tenant.connect(&chat, "user123").await;
        let event = socket.next().await;
        assert_eq!(
            event,
            json!({
                "type": "connection_established", "chat_id": chat, "timestamp": event["timestamp"],
                "connection_id": event["connection_id"], "user_id": "user123", "expires_at": event["expires_at"],
                "active_streams": [],
            })
        );
        let created = socket.next().await;
        assert_eq!(
            created,
            json!({ "type": "user_created", "user_id": "user123", "chat_id": chat, "timestamp": created["timestamp"] })
        );
    }

    #[tokio::test]
    async fn user_created_is_sent_once_for_simultaneous_connects() {
        let tenant = Api::shared().tenant("once").await;
        let (one, two) = (tenant.chat("u").await, tenant.chat("u").await);
        let sockets =
            futures_util::future::join_all([&one, &two, &one, &two].map(|chat| tenant.connect(chat, "u"))).await;
        let mut created = 0;
        for mut socket in sockets {
            socket.send(&json!({ "type": "ping" })).await;
            // `user_created` may arrive before the pong or after it, so wait for a whole exchange.
            let mut events: Vec<Value> = vec![socket.next_of("connection_established").await];
            socket.send(&json!({ "content": "x" })).await;
            events.extend(socket.until_end().await);
            created += events.iter().filter(|event| event["type"] == "user_created").count();
        }
        assert_eq!(created, 1);
    }

    #[tokio::test]
    async fn api_key_may_be_sent_in_a_header() {
        let tenant = Api::shared().tenant("header").await;
        let chat = tenant.chat("u").await;
        let query = format!("user_id=u&chat_id={chat}");
        let mut socket = tenant.connect_with(&query, &[("x-api-key", &tenant.key)]).await.expect("a handshake");
        socket.next_of("connection_established").await;
    }

    #[tokio::test]
    async fn invalid_connect_is_refused_before_the_handshake() {
        let api = Api::shared();
        let (tenant, other) = (api.tenant("owner").await, api.tenant("other").await);
        let chat = tenant.chat("u").await;
        let unknown = shared::domain::id::ChatId::generate();
        let (key, foreign) = (&tenant.key, &other.key);
        for (query, status) in [
            (format!("user_id=u&chat_id={chat}"), StatusCode::UNAUTHORIZED),
            (format!("api_key=wrong&user_id=u&chat_id={chat}"), StatusCode::UNAUTHORIZED),
            (format!("api_key={key}&chat_id={chat}"), StatusCode::BAD_REQUEST),
            (format!("api_key={key}&user_id=a%20b&chat_id={chat}"), StatusCode::BAD_REQUEST),
            (format!("api_key={key}&user_id=u"), StatusCode::BAD_REQUEST),
            (format!("api_key={key}&user_id=u&chat_id={chat}&colour=red"), StatusCode::BAD_REQUEST),
            (format!("api_key={key}&user_id=another-user&chat_id={chat}"), StatusCode::FORBIDDEN),
            (format!("api_key={key}&user_id=u&chat_id={unknown}"), StatusCode::NOT_FOUND),
            (format!("api_key={key}&user_id=u&chat_id=malformed"), StatusCode::NOT_FOUND),
            (format!("api_key={foreign}&user_id=u&chat_id={chat}"), StatusCode::NOT_FOUND),
        ] {
            assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(status)), "{query}");
        }
    }

    #[tokio::test]
    async fn active_streams_lists_running_generations() {
        let tenant = Api::shared().tenant("late").await;
        // An answer of ten minutes: it runs as long as this test.
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@2" } })).await;
        let mut first = tenant.connect(&chat, "u").await;
        first.send(&json!({ "content": "word ".repeat(1200) })).await;
        let started = first.next_of("message_stream_started").await;

        let mut late = tenant.connect(&chat, "u").await;
        let streams = late.next().await["active_streams"].clone();
        let expected = json!([{
            "message_id": started["message_id"], "seq": started["seq"], "in_reply_to": started["in_reply_to"],
        }]);
        assert_eq!(streams, expected);
        tenant.delete(&format!("/api/v1/chats/{chat}")).await;
    }

    #[tokio::test]
    async fn active_streams_is_empty_after_message_stream_ended() {
        let tenant = Api::shared().tenant("ended").await;
        let chat = tenant.chat("u").await;
        tenant.connect(&chat, "u").await.say("Hello").await;
        assert_eq!(tenant.connect(&chat, "u").await.next().await["active_streams"], json!([]));
    }

    #[tokio::test]
    async fn socket_opened_during_a_send_learns_of_the_generation() {
        let tenant = Api::shared().tenant("joining").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@2" } })).await;
        let mut sender = tenant.connect(&chat, "u").await;
        let joining = futures_util::future::join_all((0..20).map(|_| tenant.connect(&chat, "u")));
        let content = json!({ "content": "word ".repeat(1200) });
        let sending = async {
            sender.send(&content).await;
            sender.next_of("message_stream_started").await
        };
        let (joined, started) = tokio::join!(joining, sending);
        for mut socket in joined {
            let established = socket.next().await;
            let listed = established["active_streams"].as_array().expect("a list").iter();
            let is_listed = listed.clone().any(|stream| stream["message_id"] == started["message_id"]);
            if !is_listed {
                let event = socket.next_of("message_stream_started").await;
                assert_eq!(event["message_id"], started["message_id"]);
            }
        }
        tenant.delete(&format!("/api/v1/chats/{chat}")).await;
    }
}
