//! Attack: chats with slow answers, four messages each; their sockets are closed, but their generations run on.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, GENERATIONS, Length},
};

/// Messages in a chat: as many as may be answered at once.
const MESSAGES: usize = 4;

async fn attack(length: Length) {
    let experiment = Experiment::new("abandoned generations", length).await;
    let ((), usage) = experiment.run(ask_and_leave).await;
    assert_eq!(usage.generations(), GENERATIONS);
    // The messages of one chat are refused at the same time.
    usage.assert_environments("ws-message", GENERATIONS + MESSAGES);
}

/// Creates chats as long as the rate limit allows, and longer than that until some messages are refused. Returns the chats.
async fn ask_and_leave(experiment: &Experiment, end: Instant) -> ((), Vec<String>) {
    let Experiment { stack, attacker, .. } = experiment;
    let mut chats = Vec::new();
    while Instant::now() < end || chats.len() * MESSAGES <= GENERATIONS {
        let body = json!({ "user_id": "u", "config": { "model": "echo@1" } });
        let created = attacker.post("/api/v1/chats/", &body).await;
        let Some(chat) = created.body["chat_id"].as_str() else { break };
        chats.push(chat.to_owned());
        let Some(mut socket) = AttackSocket::open(stack, attacker, chat).await else { continue };
        for _ in 0..MESSAGES {
            socket.send(&json!({ "content": "word ".repeat(1_200) })).await;
        }
        // Each is answered or refused.
        let is_result = |event: &Value| event["type"] == "message_stream_started" || event["type"] == "error";
        socket.wait_for_matching(MESSAGES, is_result).await;
    }
    tokio::time::sleep_until(end).await;
    ((), chats)
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_without_a_socket_count_until_they_end() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn generations_without_a_socket_for_a_minute() {
    attack(Length::long()).await;
}
