//! `message`: its acknowledgement, its stream, and how often it is stored.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use shared::{
    domain::{
        agent_name::AgentName,
        chat::NewChat,
        id::{ChatId, ClientMessageId},
        input::Fields,
        tenant::NewModels,
        time::Timestamp,
    },
    storage::{AppendResult, ChatPosition, CreateResult, NewMessage},
};
use tests::{Stack, new_message};

#[tokio::test]
async fn simultaneous_messages_with_one_client_message_id_are_stored_once() {
    let stack = Stack::shared();
    let tenant = stack.tenant("client id race").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let messages = stack.messages();
    let id = ClientMessageId::parse("c1").expect("an id");
    let now = Timestamp::now();
    let new = NewMessage { client_id: Some(&id), ..new_message("x") };
    let appended =
        join_all((0..5).map(|_| messages.append(&tenant.id, &chat, ChatPosition::default(), new, now))).await;
    let stored = appended
        .into_iter()
        .filter(|appended| matches!(appended.as_ref().expect("DynamoDB responds"), AppendResult::Stored(_)));
    assert_eq!(stored.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_whose_agent_is_no_longer_allowed_is_not_answered() {
    let stack = Stack::shared();
    let tenant = stack.tenant("disallowed later").await;
    let body = json!({ "user_id": "u", "config": { "agent": "openai", "model": "gpt-5" } }).to_string();
    let new = NewChat::read(Fields::from_json(body.as_bytes()).expect("JSON")).expect("a chat");
    let created = stack.chats().create(&tenant.id, new, None, Timestamp::now()).await.expect("DynamoDB responds");
    let CreateResult::Created(chat) = created else { panic!("not created") };
    stack.exchange(&tenant, &chat.chat_id, "Hello").await;
    let messages = format!("/api/v1/chats/{}/messages", chat.chat_id);
    let before = tenant.get(&messages).await.body;

    let mut socket = tenant.connect(chat.chat_id.as_str(), "u").await;
    let answer = before["messages"][1]["message_id"].clone();
    for frame in [json!({ "content": "Hello" }), json!({ "type": "regenerate", "message_id": answer })] {
        socket.send(&frame).await;
        let error = socket.next_of("error").await["error"].clone();
        assert_eq!((&error["code"], &error["details"]["field"]), (&json!("INVALID_PARAMETER"), &json!("config.agent")));
        assert_eq!((&error["details"]["got"], &error["details"]["retryable"]), (&json!("openai"), &json!(false)));
        assert!(error["details"]["suggestion"].as_str().is_some_and(|text| text.contains("PATCH")), "{error}");
    }
    assert_eq!(tenant.get(&messages).await.body, before, "nothing is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_a_tenant_apply_to_its_chats() {
    let stack = Stack::shared();
    let (tenant, other) = (stack.tenant("narrowed").await, stack.tenant("not narrowed").await);
    let chat = tenant.chat("u").await;
    let new = NewModels { agents: Some(Some(vec![AgentName::OpenAi])), models: None };
    assert!(stack.tenants().set_models(&tenant.id, new).await.expect("DynamoDB responds"));

    let created = tenant.post("/api/v1/chats/", &json!({ "user_id": "u" })).await;
    assert_eq!(
        (created.code(), &created.body["error"]["details"]["field"]),
        ("INVALID_PARAMETER", &json!("config.agent"))
    );
    let change = json!({ "config": { "model": "echo@20" } });
    let changed = tenant.request(Method::PATCH, &format!("/api/v1/chats/{chat}")).json(&change);
    assert_eq!(tenant.send(changed).await.code(), "INVALID_PARAMETER");
    let mut socket = tenant.connect(&chat, "u").await;
    socket.send(&json!({ "content": "Hello" })).await;
    let error = socket.next_of("error").await["error"].clone();
    assert_eq!((&error["code"], &error["details"]["got"]), (&json!("INVALID_PARAMETER"), &json!("echo")));
    assert_eq!(tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["total"], 0);

    let chat = other.chat("u").await;
    assert_eq!(other.connect(&chat, "u").await.say("Hello").await.pop().expect("an end")["finish_reason"], "stop");
    let all = NewModels { agents: Some(None), models: None };
    assert!(stack.tenants().set_models(&tenant.id, all).await.expect("DynamoDB responds"));
    tenant.chat("u").await;
}

mod black_box {
    use serde_json::{Value, json};
    use tests::{Api, Customer};

    use crate::websocket::answer_reader::AnswerReader;

    /// The text of a stream's tokens, checked for gaps.
    fn joined(events: &[Value], message_id: &Value) -> String {
        let mut reader = AnswerReader::new();
        events.iter().for_each(|event| reader.take(message_id, event));
        reader.text
    }

    async fn stored(tenant: &Customer, chat: &str) -> Value {
        tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
    }

    #[tokio::test]
    async fn exchange_has_all_events_in_order() {
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
    async fn tokens_are_coalesced_into_frames() {
        let tenant = Api::shared().tenant("coalescing").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@500" } })).await;
        let content = "word ".repeat(500);
        let events = tenant.connect(&chat, "u").await.say(&content).await;
        let frames = events.iter().filter(|event| event["type"] == "message_stream_token").count();
        // One second of text at 25 frames a second; a busy machine coalesces more, or takes longer.
        assert!((2..=100).contains(&frames), "{frames} frames for 500 tokens");
        assert_eq!(joined(&events, &events[1]["message_id"]), format!("You said: {content}"));
    }

    #[tokio::test]
    async fn all_sockets_of_the_user_get_the_same_stream() {
        let tenant = Api::shared().tenant("devices").await;
        let chat = tenant.chat("u").await;
        let (mut phone, mut laptop) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let on_phone = phone.say("Hello from my phone").await;
        let mut on_laptop = vec![laptop.next_of("message_received").await];
        on_laptop.extend(laptop.until_end().await);
        assert_eq!(on_laptop[0]["message_id"], on_phone[0]["message_id"]);
        let message_id = &on_phone[1]["message_id"];
        assert_eq!(joined(&on_laptop, message_id), joined(&on_phone, message_id));
        assert_eq!(on_laptop.last().expect("an end")["content"], on_phone.last().expect("an end")["content"]);
    }

    #[tokio::test]
    async fn sockets_of_other_chats_get_no_events() {
        let tenant = Api::shared().tenant("two chats").await;
        let (first, second) = (tenant.chat("u").await, tenant.chat("u").await);
        let (mut one, mut two) = (tenant.connect(&first, "u").await, tenant.connect(&second, "u").await);
        one.say("first").await;
        let events = two.say("second").await;
        assert!(events.iter().all(|event| event["chat_id"] == second.as_str()), "{events:?}");
    }

    #[tokio::test]
    async fn simultaneous_messages_are_all_answered_with_consecutive_seqs() {
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
    async fn invalid_frame_gets_an_error_and_the_socket_stays_usable() {
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
        let events = socket.say("valid").await;
        assert_eq!(events.last().expect("an end")["content"], "You said: valid");
        assert_eq!(stored(&tenant, &chat).await.as_array().map(Vec::len), Some(2), "invalid frames are not stored");
    }

    #[tokio::test]
    async fn message_may_name_its_type_or_action() {
        let tenant = Api::shared().tenant("types").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        for frame in [json!({ "type": "message", "content": "x" }), json!({ "action": "message", "content": "x" })] {
            socket.send(&frame).await;
            assert_eq!(socket.next_of("message_stream_ended").await["content"], "You said: x");
        }
    }

    #[tokio::test]
    async fn answer_too_long_for_one_event_arrives_only_in_tokens() {
        let tenant = Api::shared().tenant("long").await;
        let chat = tenant.chat("u").await;
        // The longest content; `You said: ` makes the answer longer, and each character takes two bytes.
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
    async fn generation_completes_after_its_client_has_left() {
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
    async fn fifth_simultaneous_generation_is_refused() {
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
        assert_eq!(total, 8, "the refused message is not stored");
        tenant.delete(&format!("/api/v1/chats/{chat}")).await;
    }

    #[tokio::test]
    async fn max_tokens_limits_the_answer() {
        let tenant = Api::shared().tenant("max tokens").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "max_tokens": 3 } })).await;
        let events = tenant.connect(&chat, "u").await.say("one two three").await;
        let ended = events.last().expect("an end");
        assert_eq!((&ended["finish_reason"], &ended["content"]), (&"length".into(), &"You said: one".into()));
    }

    #[tokio::test]
    async fn repeated_client_message_id_is_acknowledged_again_and_answered_once() {
        let tenant = Api::shared().tenant("client ids").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let frame = json!({ "content": "Hello", "client_message_id": "c1" });
        let events = socket.ask(&frame).await;
        let (first, answer) = (events[0].clone(), events[1]["message_id"].clone());
        assert!(first.get("answer_id").is_none(), "the answer follows");

        // From the same socket and from a later one.
        let mut later = tenant.connect(&chat, "u").await;
        for again in [&mut socket, &mut later] {
            again.send(&frame).await;
            let second = again.next_of("message_received").await;
            for field in ["message_id", "seq", "content", "client_message_id"] {
                assert_eq!(second[field], first[field], "{field}");
            }
            assert_eq!(second["answer_id"], answer, "a client that lost the answer resumes it");
        }
        let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
        assert_eq!(stored["total"], 2, "one answer");
        assert_eq!(stored["messages"][0]["client_message_id"], "c1");
    }

    /// Such a message is not among those that are read for the context of an answer at first.
    #[tokio::test]
    async fn repeated_client_message_id_of_an_old_message_names_its_answer() {
        let tenant = Api::shared().tenant("old client ids").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let frame = json!({ "content": "Hello", "client_message_id": "c1" });
        let answer = socket.ask(&frame).await[1]["message_id"].clone();
        for _ in 0..7 {
            socket.say("and on").await;
        }
        socket.send(&frame).await;
        assert_eq!(socket.next_of("message_received").await["answer_id"], answer);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn fifty_sockets_of_a_tenant_stream_simultaneously() {
        let api = Api::shared();
        let tenant = api.tenant("fifty").await;
        let answers = (0..50).map(async |number| {
            let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@50" } })).await;
            let mut socket = tenant.connect(&chat, "u").await;
            let content = format!("{number} ünd 東京 👩‍👩‍👧 ").repeat(30);
            let events = socket.say(&content).await;
            let tokens = events.iter().filter(|event| event["type"] == "message_stream_token");
            let text: String = tokens.map(|event| event["token"].as_str().expect("text").to_owned()).collect();
            assert_eq!(text, format!("You said: {content}"));
        });
        futures_util::future::join_all(answers).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn four_generations_of_a_chat_run_simultaneously() {
        let tenant = Api::shared().tenant("four streams").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@20" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let contents: Vec<String> = (0..4).map(|number| format!("this is number {number} ").repeat(6)).collect();
        for content in &contents {
            socket.send(&json!({ "content": content })).await;
        }
        let (mut started, mut ended, mut most) = (0, Vec::new(), 0);
        while ended.len() < 4 {
            let event = socket.next().await;
            match event["type"].as_str() {
                Some("message_stream_started") => started += 1,
                Some("message_stream_ended") => ended.push(event["content"].as_str().expect("text").to_owned()),
                _ => most = most.max(started - ended.len()),
            }
        }
        assert_eq!(most, 4, "all run at the same time");
        ended.sort();
        assert_eq!(ended, contents.iter().map(|content| format!("You said: {content}")).collect::<Vec<_>>());
    }

    /// Generates an answer for this many seconds. API Gateway stops waiting for a function after 29.
    async fn assert_answer_arrives(seconds: usize) {
        let tenant = Api::shared().tenant("long answer").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@10" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let content = "word ".repeat(seconds * 10);
        socket.send(&json!({ "content": content })).await;
        loop {
            let event = socket.next().await;
            if event["type"] == "message_stream_ended" {
                assert_eq!(
                    (&event["finish_reason"], &event["content"]),
                    (&json!("stop"), &json!(format!("You said: {content}")))
                );
                assert!(event["timing"]["total_ms"].as_u64() > Some(seconds as u64 * 900), "{}", event["timing"]);
                break;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answer_longer_than_the_gateway_timeout_arrives() {
        assert_answer_arrives(33).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "it takes three minutes; .ci/full runs it"]
    async fn answer_of_three_minutes_arrives() {
        assert_answer_arrives(180).await;
    }
}
