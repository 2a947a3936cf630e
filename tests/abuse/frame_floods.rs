//! Attack: far more than ten frames a second, on a socket that reads and on a socket that does not. A closed one is opened again.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use shared::domain::limits::{FRAMES, REFUSED_FRAMES};
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length, code},
};

/// The time between two frames.
const PACE: Duration = Duration::from_millis(15);

/// Frames of one socket that the gateway handles at once. Those may be refused after the socket is closed.
const IN_FLIGHT: usize = 16;

/// The life of a socket: how long it was open, and its events.
type Life = (Duration, Vec<Value>);

async fn attack(length: Length) {
    let experiment = Experiment::new("frame floods", length).await;
    let chat = experiment.attacker.chat("u").await;
    let seconds = experiment.seconds();
    let flood_both = async |experiment: &Experiment, end| {
        let floods = join(flood(experiment, &chat, true, end), flood(experiment, &chat, false, end)).await;
        (floods, Vec::new())
    };
    let ((reading, deaf), usage) = experiment.run(flood_both).await;
    for (open, events) in &reading {
        let told = events.iter().filter(|event| code(event) == "RATE_LIMIT_EXCEEDED").count();
        let allowed = open.as_secs() as usize + 2;
        assert!(told <= allowed, "told {told} times in {open:?}");
    }
    let refused: Vec<_> = usage.invocations("ws-message").filter(|invocation| !invocation.code.is_empty()).collect();
    let sockets = reading.len() + deaf.len();
    let allowed = sockets * (REFUSED_FRAMES as usize + IN_FLIGHT);
    assert!(refused.len() <= allowed, "{} frames of {sockets} sockets were refused", refused.len());
    let handled = usage.invocations("ws-message").count() - refused.len();
    let allowed = (2.0 * FRAMES as f64 * (seconds + 1.0)) as usize + sockets * FRAMES;
    assert!(handled <= allowed, "{handled} frames of two sockets were handled in {seconds} s");
    // Two writes. A third one if another process has counted a refusal meanwhile.
    let calls: f64 = refused.iter().map(|invocation| invocation.calls).sum();
    assert!(calls <= 3.0 * refused.len() as f64, "{calls} calls for {} refused frames", refused.len());
}

async fn flood(experiment: &Experiment, chat: &str, reads: bool, end: Instant) -> Vec<Life> {
    let Experiment { stack, attacker, .. } = experiment;
    let mut lives = Vec::new();
    while Instant::now() < end {
        let opened = Instant::now();
        let Some(mut socket) = AttackSocket::of_user(stack, attacker, chat, reads).await else { continue };
        while Instant::now() < end && socket.send(&json!({ "type": "ping" })).await {
            tokio::time::sleep(PACE).await;
        }
        lives.push((opened.elapsed(), socket.events().into_iter().map(|(_, event)| event).collect()));
    }
    lives
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_frames_are_cheap() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn refused_frames_for_a_minute() {
    attack(Length::long()).await;
}
