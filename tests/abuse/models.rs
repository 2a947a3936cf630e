//! Attack: models that the operator did not allow, endless answers, and as many calls of a model as the sockets can ask for.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::domain::budget::BudgetOverrides;
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length, code},
    model,
};

/// The attacker's limit, a twentieth of production's.
const MESSAGES_PER_MINUTE: usize = 30;

/// The most tokens of an answer, as in the template.
const MAX_TOKENS: u64 = 4_096;

const SOCKETS: usize = 5;

async fn attack(length: Length) {
    let experiment = Experiment::new("model calls", length).await;
    let limits =
        BudgetOverrides { messages_per_minute: Some(MESSAGES_PER_MINUTE as u32), ..BudgetOverrides::default() };
    experiment.set_limits(limits).await;
    let seconds = experiment.seconds();
    let (sent, _) = experiment.run(ask).await;
    let requests = model::take_requests();
    // A minute begins with its first message.
    let minutes = (seconds / 60.0).floor() as usize + 1;
    assert!(sent > MESSAGES_PER_MINUTE, "{sent} messages are no attack");
    println!("{} of {sent} messages were answered", requests.len());
    assert!(requests.len() <= MESSAGES_PER_MINUTE * minutes, "{} of {sent} messages were answered", requests.len());
    for request in &requests {
        assert_eq!(request["model"], model::NAME);
        assert!(request["max_tokens"].as_u64().is_some_and(|most| most <= MAX_TOKENS), "{request}");
    }
}

async fn ask(experiment: &Experiment, end: Instant) -> (usize, Vec<String>) {
    let Experiment { stack, attacker, .. } = experiment;
    let create =
        async |config: Value| attacker.post("/api/v1/chats/", &json!({ "user_id": "u", "config": config })).await;
    for config in [
        json!({ "agent": "openai", "model": "expensive" }),
        json!({ "agent": "openai", "model": model::NAME, "max_tokens": 100_000 }),
        json!({ "agent": "bedrock" }),
    ] {
        let refused = create(config).await;
        assert_eq!((refused.status, code(&refused.body)), (StatusCode::BAD_REQUEST, "INVALID_PARAMETER"));
    }
    model::take_requests();
    let flood = async |_| {
        let chat = create(json!({ "agent": "openai", "model": model::NAME })).await.body["chat_id"].clone();
        let chat = chat.as_str().expect("a chat");
        let mut socket = AttackSocket::open(stack, attacker, chat).await.expect("it opens");
        let mut sent = 0;
        while Instant::now() < end && socket.send(&json!({ "content": "Hello" })).await {
            sent += 1;
            tokio::time::sleep(Duration::from_millis(105)).await;
        }
        sent
    };
    let sent: usize = join_all((0..SOCKETS).map(flood)).await.into_iter().sum();
    (sent, Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn model_is_asked_as_often_as_a_tenant_may() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn model_is_asked_for_a_minute() {
    attack(Length::long()).await;
}
