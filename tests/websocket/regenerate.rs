//! `regenerate`.

mod black_box {
    use reqwest::Method;
    use serde_json::{Value, json};
    use tests::{Api, Customer};

    use crate::websocket::answer_reader::AnswerReader;

    async fn stored(tenant: &Customer, chat: &str) -> Value {
        tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
    }

    #[tokio::test]
    async fn regenerated_answer_replaces_the_old_one() {
        let tenant = Api::shared().tenant("regenerates").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let first = socket.say("one").await.pop().expect("an end");
        let old = socket.say("two").await.pop().expect("an end");
        socket.send(&json!({ "type": "regenerate", "message_id": old["message_id"] })).await;
        let started = socket.next_of("message_stream_started").await;
        assert_eq!((&started["replaces"], &started["seq"]), (&old["message_id"], &json!(3)));
        assert_ne!(started["message_id"], old["message_id"]);
        let mut reader = AnswerReader::new();
        let end = reader.read_to_end(&started["message_id"], &mut socket).await;
        assert_eq!((&end["content"], &reader.text), (&json!("You said: two"), &"You said: two".to_owned()));

        let messages = stored(&tenant, &chat).await;
        assert_eq!(messages.as_array().expect("messages").len(), 4);
        assert_eq!((&messages[3]["message_id"], &messages[3]["seq"]), (&started["message_id"], &json!(3)));
        assert_eq!(messages[3]["in_reply_to"], messages[2]["message_id"]);
        for (id, code) in [(&old["message_id"], "MESSAGE_NOT_FOUND"), (&first["message_id"], "INVALID_PARAMETER")] {
            socket.send(&json!({ "type": "regenerate", "message_id": id })).await;
            assert_eq!(socket.next_of("error").await["error"]["code"], code);
        }
    }

    #[tokio::test]
    async fn old_answer_stays_until_the_regenerated_one_is_complete() {
        let tenant = Api::shared().tenant("regenerate and cancel").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@0" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let old = socket.say(&"word ".repeat(300)).await.pop().expect("an end");
        tenant
            .send(
                tenant
                    .request(Method::PATCH, &format!("/api/v1/chats/{chat}"))
                    .json(&json!({ "config": { "model": "echo@20" } })),
            )
            .await;
        let regenerate = json!({ "type": "regenerate", "message_id": old["message_id"] });
        socket.send(&regenerate).await;
        let draft = socket.next_of("message_stream_token").await["message_id"].clone();
        assert_eq!(stored(&tenant, &chat).await[1]["message_id"], old["message_id"]);
        let stream = tenant.connect(&chat, "u").await.next().await["active_streams"][0].clone();
        assert_eq!((&stream["message_id"], &stream["replaces"]), (&draft, &old["message_id"]));
        socket.send(&regenerate).await;
        assert_eq!(socket.next_of("error").await["error"]["code"], "GENERATION_IN_PROGRESS");
        socket.send(&json!({ "type": "cancel", "message_id": draft })).await;
        let end = socket.next_of("message_stream_ended").await;
        assert_eq!((&end["message_id"], &end["finish_reason"]), (&draft, &json!("cancelled")));
        let kept = stored(&tenant, &chat).await[1].clone();
        assert_eq!((&kept["message_id"], &kept["content"]), (&old["message_id"], &old["content"]));
        // A client that lost its socket can still resume the draft.
        let mut later = tenant.connect(&chat, "u").await;
        later.send(&json!({ "type": "resume", "message_id": draft, "offset": 0 })).await;
        assert_eq!(later.next_of("message_stream_ended").await["finish_reason"], "cancelled");
    }
}
