//! Attack: a chat of the longest messages, then ten messages a second, each of which reads the history.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

use std::time::Duration;

use serde_json::json;
use shared::domain::{id::ChatId, limits::FRAMES};
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length},
};

/// Exchanges before the attack.
const EXCHANGES: usize = 18;

/// Bytes of a message: a frame with it is just short enough.
const MESSAGE: usize = 27_000;

/// Messages that are read before it is known how many fit into the context.
const READ_FIRST: f64 = 12.0;

/// Bytes that a unit of a strongly consistent read covers.
const READ_UNIT: f64 = 4_096.0;

/// Units of everything that a message and its generation read besides the history.
const OTHER_READS: f64 = 16.0;

async fn attack(length: Length) {
    let experiment = Experiment::new("long histories", length).await;
    let Experiment { stack, attacker, .. } = &experiment;
    let chat = attacker.chat("u").await;
    let id = ChatId::parse(&chat).expect("a chat");
    for _ in 0..EXCHANGES {
        stack.exchange(attacker, &id, &content()).await;
    }
    let ask = async |experiment: &Experiment, end| {
        let mut socket = AttackSocket::open(experiment.stack, &experiment.attacker, &chat).await.expect("it opens");
        let mut next = Instant::now();
        while next < end {
            socket.send(&json!({ "content": content() })).await;
            next += Duration::from_secs(1) / FRAMES as u32;
            tokio::time::sleep_until(next).await;
        }
        ((), vec![chat.clone()])
    };
    let ((), usage) = experiment.run(ask).await;
    let messages = usage.invocations("ws-message");
    let most = messages.map(|message| message.read_units).reduce(f64::max).expect("there are messages");
    let allowed = READ_FIRST * MESSAGE as f64 / READ_UNIT + OTHER_READS;
    println!("at most {most} read units for a message");
    assert!(most <= allowed, "a message read {most} units");
}

fn content() -> String {
    "word ".repeat(MESSAGE / 5)
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_as_far_as_the_context_has_room() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn history_is_read_for_a_minute() {
    attack(Length::long()).await;
}
