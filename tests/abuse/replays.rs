//! Attack: `resume` from offset 0 ten times a second: of an ended answer, on a socket that reads or does not, and of an answer
//! that is being generated.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{id::ChatId, limits::FRAMES};
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length},
};

/// The length of the ended answer, in bytes: a replay has nine frames.
const ANSWER: usize = 240_000;

/// The read units a second of a client that does not read: a replay reads the answer, 60 units, and lasts for a second, before
/// it is given up. Twice as many, and four for each frame of both sockets.
const READ_UNITS: f64 = (2 * 60 + 2 * FRAMES * 4) as f64;

/// The environments that one socket may hold on average. Each of ten frames a second waits at most 350 ms for the replay
/// before it and 250 ms for the client, or 500 ms for the owner of a generation. The replay itself, or its generation, holds
/// one more, and the work on the frames another one.
const HELD_BY_A_SOCKET: usize = FRAMES * 600 / 1_000 + 1 + 1;

async fn attack(length: Length) {
    let experiment = Experiment::new("replays", length).await;
    let Experiment { stack, attacker, .. } = &experiment;
    let (ended, running) = (attacker.chat("u").await, json!({ "user_id": "u", "config": { "model": "echo@1" } }));
    let running = attacker.chat_with(&running).await;
    let id = ChatId::parse(&ended).expect("a chat");
    stack.exchange(attacker, &id, &"word ".repeat(ANSWER / 5)).await;
    let listed = attacker.get(&format!("/api/v1/chats/{ended}/messages?limit=1&order=desc")).await.body;
    let ended_answer = listed["messages"][0]["message_id"].clone();
    // The gateway buffers as much as some seconds of replays.
    let reads = !length.is_long();
    let mut resume_ended = AttackSocket::of_user(stack, attacker, &ended, reads).await.expect("it opens");
    let mut resume_running = AttackSocket::open(stack, attacker, &running).await.expect("it opens");
    let ask = async |_: &Experiment, end| {
        resume_running.send(&json!({ "content": "word ".repeat(1_200) })).await;
        let running_answer = resume_running.wait_for("message_stream_started").await["message_id"].clone();
        tokio::join!(resume(&mut resume_ended, ended_answer, end), resume(&mut resume_running, running_answer, end));
        ((), vec![running.clone()])
    };
    let seconds = experiment.seconds();
    let ((), usage) = experiment.run(ask).await;
    if !reads {
        let read_units = usage.read_units / seconds;
        assert!(read_units <= READ_UNITS, "one replay at a time: {read_units:.0} read units a second");
    }
    let held = usage.average_environments("ws-message");
    assert!(held <= (2 * HELD_BY_A_SOCKET) as f64, "two sockets held {held:.1} environments");
}

async fn resume(socket: &mut AttackSocket, answer: Value, end: Instant) {
    let mut next = Instant::now();
    while next < end {
        socket.send(&json!({ "type": "resume", "message_id": answer, "offset": 0 })).await;
        next += Duration::from_secs(1) / FRAMES as u32;
        tokio::time::sleep_until(next).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_to_a_socket_come_one_at_a_time() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn replays_to_a_socket_that_does_not_read_for_a_minute() {
    attack(Length::long()).await;
}
