//! `ping`.

mod black_box {
    use serde_json::json;
    use tests::Api;

    #[tokio::test]
    async fn ping_gets_a_pong() {
        let tenant = Api::shared().tenant("ping").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        socket.send(&json!({ "type": "ping" })).await;
        let pong = socket.next_of("pong").await;
        assert_eq!(pong, json!({ "type": "pong", "chat_id": chat, "timestamp": pong["timestamp"] }));
    }
}
