//! What a client says, and the stream that answers it.

mod black_box {
    use serde_json::{Value, json};
    use tests::{Api, Customer};

    /// The text of a stream's tokens, checked for holes.
    fn joined(events: &[Value], message_id: &Value) -> String {
        let mut text = String::new();
        let is_token = |event: &&Value| event["type"] == "message_stream_token" && event["message_id"] == *message_id;
        for event in events.iter().filter(is_token) {
            assert_eq!(event["offset"], text.len(), "tokens come in order, from 0, without a hole");
            text.push_str(event["token"].as_str().expect("a token is text"));
            assert_eq!(event["next_offset"], text.len());
        }
        text
    }

    async fn stored(tenant: &Customer, chat: &str) -> Value {
        tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
    }

    #[tokio::test]
    async fn an_exchange_from_beginning_to_end() {
        let tenant = Api::shared().tenant("exchange").await;
        let chat = tenant.chat("u").await;
        let content = "Hello, I need help with my account 🧾 – ça va?";
        let events = tenant.connect(&chat, "u").await.say(content).await;

        let types: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
        assert_eq!(types[..2], ["message_received", "message_stream_started"]);
        assert!(types[2..types.len() - 1].iter().all(|kind| *kind == "message_stream_token"), "{types:?}");
        assert!(events.iter().all(|event| event["chat_id"] == chat.as_str() && event["timestamp"].is_string()));

        let (received, started, ended) = (&events[0], &events[1], events.last().expect("an end"));
        assert_eq!((&received["content"], &received["seq"]), (&content.into(), &0.into()));
        assert_eq!((&started["seq"], &started["model"]), (&1.into(), &"echo".into()));
        assert_eq!(started["in_reply_to"], received["message_id"]);
        assert_eq!(ended["message_id"], started["message_id"]);
        assert_eq!(ended["finish_reason"], "stop");
        assert_eq!(ended["content"], format!("You said: {content}"));
        assert_eq!(joined(&events, &started["message_id"]), format!("You said: {content}"));
        assert!(
            ended["usage"]["input_tokens"].as_u64() > Some(0) && ended["usage"]["output_tokens"].as_u64() > Some(0)
        );
        assert!(ended["timing"]["total_ms"].as_u64() >= ended["timing"]["first_token_ms"].as_u64());

        let stored = stored(&tenant, &chat).await;
        assert_eq!(
            (&stored[0]["message_id"], &stored[1]["message_id"]),
            (&received["message_id"], &started["message_id"])
        );
        assert_eq!((&stored[1]["content"], &stored[1]["status"]), (&ended["content"], &"complete".into()));
    }

    #[tokio::test]
    async fn frames_gather_tokens() {
        let tenant = Api::shared().tenant("coalescing").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@500" } })).await;
        let content = "word ".repeat(500);
        let events = tenant.connect(&chat, "u").await.say(&content).await;
        let frames = events.iter().filter(|event| event["type"] == "message_stream_token").count();
        // A second of text at 25 frames a second; a machine that is busy may gather more, or take longer.
        assert!((2..=100).contains(&frames), "{frames} frames for 500 tokens");
        assert_eq!(joined(&events, &events[1]["message_id"]), format!("You said: {content}"));
    }

    #[tokio::test]
    async fn all_sockets_of_the_user_hear_the_same() {
        let tenant = Api::shared().tenant("devices").await;
        let chat = tenant.chat("u").await;
        let (mut phone, mut laptop) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let on_phone = phone.say("Hello from my phone").await;
        let mut on_laptop = vec![laptop.next_of("message_received").await];
        on_laptop.extend(laptop.until_end().await);
        assert_eq!(on_laptop[0]["message_id"], on_phone[0]["message_id"]);
        let answer = &on_phone[1]["message_id"];
        assert_eq!(joined(&on_laptop, answer), joined(&on_phone, answer));
        assert_eq!(on_laptop.last().expect("an end")["content"], on_phone.last().expect("an end")["content"]);
    }

    #[tokio::test]
    async fn other_chats_hear_nothing() {
        let tenant = Api::shared().tenant("elsewhere").await;
        let (here, elsewhere) = (tenant.chat("u").await, tenant.chat("u").await);
        let (mut one, mut two) = (tenant.connect(&here, "u").await, tenant.connect(&elsewhere, "u").await);
        one.say("only here").await;
        let events = two.say("only there").await;
        assert!(events.iter().all(|event| event["chat_id"] == elsewhere.as_str()), "{events:?}");
    }

    #[tokio::test]
    async fn messages_sent_at_once_are_all_answered_and_numbered_without_a_hole() {
        let tenant = Api::shared().tenant("at once").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        for number in 0..4 {
            socket.send(&json!({ "content": format!("number {number}") })).await;
        }
        let mut events = Vec::new();
        while events.iter().filter(|event: &&Value| event["type"] == "message_stream_ended").count() < 4 {
            events.push(socket.next().await);
        }
        let stored = stored(&tenant, &chat).await;
        let stored = stored.as_array().expect("messages");
        assert_eq!(stored.len(), 8);
        for (place, message) in stored.iter().enumerate() {
            assert_eq!(message["seq"], place);
            if message["role"] == "assistant" {
                assert_eq!(joined(&events, &message["message_id"]), message["content"].as_str().expect("text"));
            }
        }
    }

    #[tokio::test]
    async fn bad_frames_get_an_error_and_the_socket_stays_usable() {
        let tenant = Api::shared().tenant("bad frames").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let too_long = json!({ "content": "x".repeat(28 * 1024) }).to_string();
        for (frame, code, field) in [
            ("not JSON", "INVALID_JSON", Value::Null),
            ("{}", "MISSING_PARAMETER", json!("type")),
            (r#"{"content":""}"#, "INVALID_PARAMETER", json!("content")),
            (r#"{"content":["x"]}"#, "INVALID_PARAMETER", json!("content")),
            (r#"{"type":"message"}"#, "MISSING_PARAMETER", json!("content")),
            (r#"{"type":"shout","content":"x"}"#, "UNKNOWN_TYPE", Value::Null),
            (r#"{"action":"shout","content":"x"}"#, "UNKNOWN_TYPE", Value::Null),
            (r#"{"content":"x","colour":"red"}"#, "UNKNOWN_FIELD", json!("colour")),
            (&too_long, "MESSAGE_TOO_LARGE", Value::Null),
        ] {
            socket.send_text(frame).await;
            let event = socket.next_of("error").await;
            assert_eq!(event["error"]["code"], code, "{frame:.40}: {event}");
            assert_eq!(event["error"]["details"]["field"], field, "{frame:.40}");
            assert_eq!(event["error"]["details"]["retryable"], false);
            assert!(event["error"]["details"]["suggestion"].is_string() && event["request_id"].is_string(), "{event}");
            assert_eq!(event["chat_id"], chat.as_str());
        }
        let events = socket.say("and yet it works").await;
        assert_eq!(events.last().expect("an end")["content"], "You said: and yet it works");
        assert_eq!(
            stored(&tenant, &chat).await.as_array().map(Vec::len),
            Some(2),
            "nothing of the bad frames is stored"
        );
    }

    #[tokio::test]
    async fn a_message_may_name_its_type_or_action() {
        let tenant = Api::shared().tenant("types").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        for frame in [json!({ "type": "message", "content": "x" }), json!({ "action": "message", "content": "x" })] {
            socket.send(&frame).await;
            assert_eq!(socket.next_of("message_stream_ended").await["content"], "You said: x");
        }
        socket.send(&json!({ "type": "ping" })).await;
        let pong = socket.next_of("pong").await;
        assert_eq!(pong, json!({ "type": "pong", "chat_id": chat, "timestamp": pong["timestamp"] }));
    }

    #[tokio::test]
    async fn an_answer_too_long_for_one_event_is_told_in_tokens_alone() {
        let tenant = Api::shared().tenant("long").await;
        let chat = tenant.chat("u").await;
        // As long as a question can be; the answer is longer by `You said: `, and each character takes two bytes.
        let content = "ü".repeat((27 * 1024) / 2 - 10);
        let longer = format!("{content}{}", "é".repeat(9));
        let events = tenant.connect(&chat, "u").await.say(&longer).await;
        let ended = events.last().expect("an end");
        let answer = format!("You said: {longer}");
        assert_eq!(joined(&events, &ended["message_id"]), answer);
        let tokens = events.iter().filter(|event| event["type"] == "message_stream_token");
        assert!(tokens.map(|event| event.to_string().len()).all(|bytes| bytes <= 28 * 1024));
        assert_eq!(stored(&tenant, &chat).await[1]["content"], answer);
    }

    #[tokio::test]
    async fn a_client_that_leaves_in_mid_stream_finds_the_whole_answer_later() {
        let tenant = Api::shared().tenant("leaves").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@50" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let mut stays = tenant.connect(&chat, "u").await;
        let content = "one two three four five six seven eight nine ten";
        socket.send(&json!({ "content": content })).await;
        socket.next_of("message_stream_token").await;
        socket.close().await;
        assert_eq!(stays.next_of("message_stream_ended").await["content"], format!("You said: {content}"));
        assert_eq!(stored(&tenant, &chat).await[1]["content"], format!("You said: {content}"));
    }

    #[tokio::test]
    async fn a_fifth_answer_at_once_has_to_wait() {
        let tenant = Api::shared().tenant("five at once").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@2" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let content = "word ".repeat(1200);
        for _ in 0..4 {
            socket.send(&json!({ "content": content })).await;
            socket.next_of("message_stream_started").await;
        }
        socket.send(&json!({ "content": "one too many" })).await;
        let refused = socket.next_of("error").await;
        assert_eq!(refused["error"]["code"], "GENERATION_IN_PROGRESS");
        assert_eq!(refused["error"]["details"]["retryable"], true);
        let total = tenant.get(&format!("/api/v1/chats/{chat}/messages?limit=1")).await.body["total"].clone();
        assert_eq!(total, 8, "what is refused is not stored");
        tenant.delete(&format!("/api/v1/chats/{chat}")).await;
    }

    #[tokio::test]
    async fn max_tokens_ends_an_answer_early() {
        let tenant = Api::shared().tenant("max tokens").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "max_tokens": 3 } })).await;
        let events = tenant.connect(&chat, "u").await.say("one two three").await;
        let ended = events.last().expect("an end");
        assert_eq!((&ended["finish_reason"], &ended["content"]), (&"length".into(), &"You said: one".into()));
    }
}
