//! Many at once, and long ones.

mod black_box {
    use serde_json::json;
    use tests::Api;

    #[tokio::test(flavor = "multi_thread")]
    async fn fifty_sockets_of_a_tenant_stream_at_once() {
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
    async fn four_answers_at_once_in_a_chat_are_four_streams() {
        let tenant = Api::shared().tenant("four streams").await;
        let chat = tenant.chat_with(&json!({ "user_id": "u", "config": { "model": "echo@20" } })).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let contents: Vec<String> = (0..4).map(|number| format!("this is number {number} ").repeat(6)).collect();
        for content in &contents {
            socket.send(&json!({ "content": content })).await;
        }
        let (mut begun, mut ended, mut together) = (0, Vec::new(), 0);
        while ended.len() < 4 {
            let event = socket.next().await;
            match event["type"].as_str() {
                Some("message_stream_started") => begun += 1,
                Some("message_stream_ended") => ended.push(event["content"].as_str().expect("text").to_owned()),
                _ => together = together.max(begun - ended.len()),
            }
        }
        assert_eq!(together, 4, "they run at the same time");
        ended.sort();
        assert_eq!(ended, contents.iter().map(|content| format!("You said: {content}")).collect::<Vec<_>>());
    }

    /// An answer that takes so many seconds. The gateway gives up on a function after 29.
    async fn arrives(seconds: usize) {
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
    async fn an_answer_arrives_that_takes_longer_than_the_gateway_waits() {
        arrives(33).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "it takes three minutes; .ci/full runs it"]
    async fn an_answer_of_three_minutes_arrives() {
        arrives(180).await;
    }
}
