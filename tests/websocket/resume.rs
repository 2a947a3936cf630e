//! `resume`.

use std::time::Duration;

use serde_json::json;
use shared::{
    domain::{connection::Connection, id::ChatId, time::Timestamp},
    storage::ConnectionRepository,
};
use tests::{Fault, FaultProxy, LambdaRuntime, Stack, Tenant, frame_event};

/// Stores an open connection of a new tenant, and an answer of its chat that has ended. Returns also the answer's id.
async fn connection_with_answer(name: &str) -> (Tenant, Connection, String) {
    let stack = Stack::shared();
    let tenant = stack.tenant(name).await;
    let chat_id = ChatId::parse(&tenant.chat("u").await).expect("a chat");
    stack.exchange(&tenant, &chat_id, "Hello").await;
    let listed = tenant.get(&format!("/api/v1/chats/{chat_id}/messages")).await.body;
    let answer = listed["messages"][1]["message_id"].as_str().expect("an id").to_owned();
    let connection = stack.open_connection(&tenant, &format!("{}=", tenant.id), chat_id).await;
    (tenant, connection, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_answer_is_refused_while_another_process_replays_to_the_socket() {
    let stack = Stack::shared();
    let (_tenant, connection, answer) = connection_with_answer("one replay").await;
    let lambda = LambdaRuntime::start(stack, "ws-message", Duration::from_secs(900), &[]).await;
    let other = stack
        .connections()
        .begin_replay(&connection.connection_id, Timestamp::now().plus(Duration::from_secs(600)))
        .await;
    let other = other.expect("DynamoDB responds").expect("the socket has no replay");
    let commands = [
        json!({ "type": "resume", "message_id": answer, "offset": 0 }),
        json!({ "type": "cancel", "message_id": answer }),
    ];
    for (number, command) in (1..).zip(&commands) {
        lambda.send(frame_event(&connection.connection_id, Timestamp::now(), command));
        lambda.responses(number).await;
    }
    let refused = lambda.posted_so_far();
    assert_eq!(refused.len(), 2, "{refused:#?}");
    for error in &refused {
        assert_eq!(error["error"]["code"], "RATE_LIMIT_EXCEEDED");
        assert_eq!(error["error"]["details"]["message_id"], answer);
    }
    stack.connections().end_replay(&connection.connection_id, &other).await.expect("DynamoDB responds");
    // Each follows the end of the one before.
    for (number, command) in (3..).zip(&commands) {
        lambda.send(frame_event(&connection.connection_id, Timestamp::now(), command));
        lambda.responses(number).await;
    }
    tests::eventually("both are replayed", async || {
        lambda.posted_so_far().iter().filter(|event| event["type"] == "message_stream_ended").count() == 2
    })
    .await;
}

#[tokio::test]
async fn socket_has_one_replay_at_a_time() {
    let (_tenant, connection, _) = connection_with_answer("replay lease").await;
    let (connections, now) = (Stack::shared().connections(), Timestamp::now());
    let id = &connection.connection_id;
    let begin = async |connections: &ConnectionRepository, after| {
        connections.begin_replay(id, now.plus(Duration::from_secs(after))).await.expect("DynamoDB responds")
    };
    let first = begin(&connections, 0).await.expect("no replay yet");
    assert_eq!(begin(&connections, 1).await, None);
    connections.end_replay(id, &first).await.expect("DynamoDB responds");
    let second = begin(&connections, 1).await.expect("the first has ended");
    // The process of the second one died.
    let third = begin(&connections, 31).await.expect("its time is over");
    connections.end_replay(id, &second).await.expect("DynamoDB responds");
    assert_eq!(begin(&connections, 32).await, None, "the end of the second does not end the third");
    connections.end_replay(id, &third).await.expect("DynamoDB responds");

    connections.end(&connection).await.expect("DynamoDB responds");
    assert_eq!(begin(&connections, 30).await, None, "a removed connection is not stored again");
    assert!(connections.delete_by_id(id).await.expect("DynamoDB responds").is_none());
}

#[tokio::test]
async fn replay_whose_response_is_lost_is_begun() {
    let stack = Stack::shared();
    let (_tenant, connection, _) = connection_with_answer("lost replay").await;
    let proxy = FaultProxy::start(stack.dynamodb_endpoint()).await;
    let connections = ConnectionRepository::new(stack.dynamodb_at(&proxy.url), "ConnectionsTable".to_owned());
    proxy.inject("UpdateItem", 1, Fault::LostResponse);
    let begun = connections.begin_replay(&connection.connection_id, Timestamp::now()).await.expect("the SDK repeats");
    assert_eq!((begun.is_some(), proxy.faults_left()), (true, 0));
}

mod black_box {
    use serde_json::{Value, json};
    use tests::{Api, Customer, Random};

    use crate::websocket::answer_reader::{AnswerReader, MANY_SCRIPTS};

    fn new_chat(tokens_per_second: u32) -> Value {
        json!({ "user_id": "u", "config": { "model": format!("echo@{tokens_per_second}") } })
    }

    async fn stored(tenant: &Customer, chat: &str) -> Value {
        tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body["messages"].clone()
    }

    #[tokio::test]
    async fn resume_joins_a_running_generation_from_offset_0() {
        let tenant = Api::shared().tenant("joins").await;
        let chat = tenant.chat_with(&new_chat(60)).await;
        let mut first = tenant.connect(&chat, "u").await;
        let content = format!("{MANY_SCRIPTS} ").repeat(30);
        first.send(&json!({ "content": content })).await;
        first.next_of("message_stream_token").await;
        let mut later = tenant.connect(&chat, "u").await;
        let established = later.next().await;
        let message_id = established["active_streams"][0]["message_id"].clone();
        assert!(message_id.is_string(), "the generation still runs: {established}");
        later.send(&json!({ "type": "resume", "message_id": message_id, "offset": 0 })).await;
        let started = later.next_of("message_stream_started").await;
        assert_eq!((&started["message_id"], &started["model"]), (&message_id, &json!("echo@60")));
        let mut reader = AnswerReader::new();
        let end = reader.read_to_end(&message_id, &mut later).await;
        assert_eq!(reader.text, format!("You said: {content}"));
        assert_eq!((&end["content"], &end["finish_reason"]), (&json!(reader.text), &json!("stop")));
    }

    #[tokio::test]
    async fn running_generation_is_listed_with_its_saved_text() {
        let tenant = Api::shared().tenant("saved").await;
        let chat = tenant.chat_with(&new_chat(20)).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let content = format!("{MANY_SCRIPTS} ").repeat(40);
        socket.send(&json!({ "content": content })).await;
        let message_id = socket.next_of("message_stream_started").await["message_id"].clone();
        let mut before = String::new();
        for _ in 0..2 {
            tests::eventually("more text is saved", async || {
                let listed = stored(&tenant, &chat).await[1].clone();
                assert_eq!(listed["status"], "streaming");
                let saved = listed["content"].as_str().expect("text").to_owned();
                assert!(saved.starts_with(&before) && format!("You said: {content}").starts_with(&saved));
                std::mem::replace(&mut before, saved.clone()) != saved && !saved.is_empty()
            })
            .await;
        }
        socket.send(&json!({ "type": "cancel", "message_id": message_id })).await;
        socket.next_of("message_stream_ended").await;
    }

    #[tokio::test]
    async fn resume_replays_a_complete_answer_from_any_offset() {
        let tenant = Api::shared().tenant("replay").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let end = socket.say(MANY_SCRIPTS).await.pop().expect("an end");
        let (message_id, content) = (end["message_id"].clone(), end["content"].as_str().expect("text").to_owned());
        for offset in [0, 1, "You said: Gr".len(), "You said: Grü".len(), content.len()] {
            socket.send(&json!({ "type": "resume", "message_id": message_id, "offset": offset })).await;
            let mut reader = AnswerReader::starting_with(&content[..offset]);
            let again = reader.read_to_end(&message_id, &mut socket).await;
            assert_eq!(reader.text, content);
            assert_eq!((&again["content"], &again["usage"]), (&end["content"], &end["usage"]));
        }
        for bad in ["You said: Gr".len() + 1, content.len() + 1] {
            socket.send(&json!({ "type": "resume", "message_id": message_id, "offset": bad })).await;
            let error = socket.next_of("error").await;
            let details = &error["error"]["details"];
            assert_eq!((&error["error"]["code"], &details["field"]), (&json!("INVALID_PARAMETER"), &json!("offset")));
            assert_eq!(error["message_id"], message_id);
        }
    }

    /// A client that drops its socket at random places and resumes each time. Returns how often.
    async fn lossy(api: &Api, number: u64) -> usize {
        let tenant = api.tenant("lossy").await;
        let chat = tenant.chat_with(&new_chat(60)).await;
        let mut socket = tenant.connect(&chat, "u").await;
        let content = format!("{MANY_SCRIPTS} ").repeat(80);
        socket.send(&json!({ "content": content })).await;
        let message_id = socket.next_of("message_stream_started").await["message_id"].clone();
        let mut reader = AnswerReader::new();
        let (mut drops, mut random) = (0, Random::new(number));
        loop {
            for _ in 0..random.below(12) {
                let event = socket.next().await;
                reader.take(&message_id, &event);
                if reader.end.is_some() {
                    break;
                }
            }
            if let Some(end) = &reader.end {
                assert_eq!(reader.text, format!("You said: {content}"));
                assert_eq!(end["content"], json!(reader.text));
                return drops;
            }
            drop(socket);
            drops += 1;
            socket = tenant.connect(&chat, "u").await;
            socket.send(&json!({ "type": "resume", "message_id": message_id, "offset": reader.text.len() })).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::print_stdout, reason = "the count is printed")]
    async fn client_that_drops_its_socket_anywhere_and_resumes_gets_the_exact_answer() {
        let api = Api::shared();
        let drops = futures_util::future::join_all((0..24).map(|number| lossy(api, number))).await;
        let drops: usize = drops.into_iter().sum();
        println!("24 answers are complete after {drops} lost sockets");
        assert!(drops > 24, "too few to cover the stream: {drops}");
    }
}
