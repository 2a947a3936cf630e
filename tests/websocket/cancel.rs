//! `cancel`.

mod black_box {
    use serde_json::json;
    use tests::Api;

    use crate::websocket::answer_reader::AnswerReader;

    #[tokio::test]
    async fn cancel_from_any_socket_ends_the_generation_on_all_and_keeps_its_text() {
        let tenant = Api::shared().tenant("cancels").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@20" } })).await;
        let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
        let content = "word ".repeat(2_000);
        one.send(&json!({ "content": content })).await;
        let message_id = other.next_of("message_stream_token").await["message_id"].clone();
        let mut late = tenant.connect(&chat, "u").await;
        // This socket does not receive the stream.
        late.send(&json!({ "type": "cancel", "message_id": message_id })).await;
        let mut reader = AnswerReader::new();
        let end = reader.read_to_end(&message_id, &mut one).await;
        assert_eq!((&end["finish_reason"], &end["content"]), (&json!("cancelled"), &json!(reader.text)));
        assert!(reader.text.len() < content.len() && format!("You said: {content}").starts_with(&reader.text));
        for socket in [&mut other, &mut late] {
            assert_eq!(socket.next_of("message_stream_ended").await["content"], end["content"]);
        }
        let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"][1].clone();
        assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("cancelled"), &json!("cancelled")));
        assert_eq!(stored["content"], end["content"]);

        // A second cancel replays the end, and the chat continues.
        one.send(&json!({ "type": "cancel", "message_id": message_id })).await;
        assert_eq!(one.next_of("message_stream_ended").await["finish_reason"], "cancelled");
        one.send(&json!({ "content": "x" })).await;
        assert_eq!(one.next_of("message_stream_ended").await["content"], "You said: x");
    }
}
