//! Attack: one message with one `client_message_id`, again and again.

use std::time::Duration;

use serde_json::json;
use shared::domain::limits::FRAMES;
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length},
    model,
};

async fn attack(length: Length) {
    let experiment = Experiment::new("duplicates", length).await;
    let config = json!({ "agent": "openai", "model": model::NAME });
    let chat = experiment.attacker.chat_with(&json!({ "user_id": "u", "config": config })).await;
    let repeat = async |experiment: &Experiment, end| {
        model::take_requests();
        let mut socket = AttackSocket::open(experiment.stack, &experiment.attacker, &chat).await.expect("it opens");
        let message = json!({ "content": "Hello", "client_message_id": "once" });
        socket.send(&message).await;
        socket.wait_for("message_stream_ended").await;
        let (mut sent, mut next) = (1, Instant::now());
        while next < end {
            socket.send(&message).await;
            sent += 1;
            next += Duration::from_secs(1) / FRAMES as u32;
            tokio::time::sleep_until(next).await;
        }
        (sent, Vec::new())
    };
    let (sent, usage) = experiment.run(repeat).await;
    assert_eq!(model::take_requests().len(), 1, "the model was asked again");
    assert_eq!(usage.invocations("ws-message").filter(|invocation| invocation.generates).count(), 1);
    assert!(usage.posts <= sent as f64 + 10.0, "a duplicate is acknowledged once");
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_is_acknowledged_without_asking_the_model() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn duplicates_for_a_minute() {
    attack(Length::long()).await;
}
