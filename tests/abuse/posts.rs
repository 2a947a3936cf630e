//! Attack: many sockets of many chats with four generations each, for as many posts as possible.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::budget::BudgetOverrides;
use tokio::time::Instant;

use super::{
    attack_socket::AttackSocket,
    experiment::{Experiment, Length},
};

/// Chats with ten sockets each. A tenant may have 50 sockets, but a machine of two cores cannot serve the first frames of
/// all their answers; beside other tests, only those of one chat.
const CHATS: usize = 3;
const CHATS_BESIDE_OTHER_TESTS: usize = 1;
const SOCKETS_OF_A_CHAT: usize = 10;

/// Generations at once in a chat. All chats together have more than [`GENERATIONS`](super::experiment::GENERATIONS), but
/// less than a tenant of production.
const GENERATIONS_OF_A_CHAT: usize = 4;

/// The messages of a tenant a second.
const MESSAGES: usize = 10;

/// Token frames of a socket a second: for the first ten of each answer, and for later ones.
const FIRST: f64 = 25.0;
const FIRST_FRAMES: f64 = 10.0;
const LATER: f64 = 10.0;

/// When all answers are past their first frames, also on a slow machine.
const STEADY_AFTER: Duration = Duration::from_secs(15);

struct Sockets {
    sockets: Vec<AttackSocket>,
    chats: Vec<String>,
}

impl Sockets {
    async fn open(experiment: &Experiment, count: usize, tokens_per_second: u32) -> Self {
        let limits =
            BudgetOverrides { generations: Some((count * GENERATIONS_OF_A_CHAT) as u32), ..BudgetOverrides::default() };
        experiment.set_limits(limits).await;
        let Experiment { stack, attacker, .. } = experiment;
        let (mut sockets, mut chats) = (Vec::new(), Vec::new());
        let chat = json!({ "user_id": "u", "config": { "model": format!("echo@{tokens_per_second}") } });
        for _ in 0..count {
            let chat = attacker.chat_with(&chat).await;
            for _ in 0..SOCKETS_OF_A_CHAT {
                sockets.push(AttackSocket::open(stack, attacker, &chat).await.expect("it opens"));
            }
            chats.push(chat);
        }
        Self { sockets, chats }
    }

    /// Sends a message in each chat.
    async fn ask(&mut self, words: usize) {
        for socket in self.sockets.iter_mut().step_by(SOCKETS_OF_A_CHAT) {
            socket.send(&json!({ "content": "word ".repeat(words) })).await;
        }
    }

    /// When posts arrived that match.
    fn arrivals(&self, matches: impl Fn(&Value) -> bool) -> Vec<Instant> {
        let events = self.sockets.iter().flat_map(AttackSocket::events);
        events.filter(|(_, event)| matches(event)).map(|(at, _)| at).collect()
    }

    /// Asserts that no socket gets more token frames than it may.
    fn assert_frames_of_each_socket(&self) {
        for socket in &self.sockets {
            let events = socket.events();
            let frames: Vec<Instant> = events.iter().filter(|(_, event)| is_token(event)).map(|(at, _)| *at).collect();
            let (Some(first), Some(last)) = (frames.first(), frames.last()) else { continue };
            let seconds = (*last - *first).as_secs_f64();
            // A generation learns of the others of its chat within 0.8 s, when its first frames may have left.
            let answers = events.iter().filter(|(_, event)| event["type"] == "message_stream_started").count();
            let allowed = FIRST * seconds + FIRST_FRAMES * answers as f64;
            assert!(frames.len() as f64 <= allowed, "a socket got {} frames in {seconds} s", frames.len());
        }
    }
}

fn is_token(event: &Value) -> bool {
    event["type"] == "message_stream_token"
}

/// Answers that stream all the time.
async fn long_answers(length: Length) {
    let experiment = Experiment::new("posts of long answers", length).await;
    let chats = if length.is_long() { CHATS } else { CHATS_BESIDE_OTHER_TESTS };
    let mut sockets = Sockets::open(&experiment, chats, 100).await;
    let stream = async |_: &Experiment, end| {
        let began = Instant::now();
        for _ in 0..GENERATIONS_OF_A_CHAT {
            sockets.ask(5_000).await;
        }
        tokio::time::sleep_until(end).await;
        sockets.assert_frames_of_each_socket();
        ((began, sockets.arrivals(|_| true)), sockets.chats.clone())
    };
    let ((began, posts), _) = experiment.run(stream).await;
    let end = posts.iter().max().copied().expect("there are posts");
    let Some(steady) = (end - began).checked_sub(STEADY_AFTER).map(|_| began + STEADY_AFTER) else { return };
    let per_second = posts.iter().filter(|at| **at > steady).count() as f64 / (end - steady).as_secs_f64();
    println!("{per_second:.0} posts a second once all answers are past their first frames");
    let allowed = (chats * SOCKETS_OF_A_CHAT) as f64 * LATER;
    assert!(per_second <= 1.05 * allowed, "{per_second} posts a second");
}

/// Answers that end with their first ten frames, as many as a tenant may ask for in a minute.
async fn short_answers(length: Length) {
    let experiment = Experiment::new("posts of short answers", length).await;
    let mut sockets = Sockets::open(&experiment, CHATS, FIRST as u32).await;
    let seconds = experiment.seconds();
    let stream = async |_: &Experiment, end| {
        let mut next = Instant::now();
        while next < end {
            sockets.ask(10).await;
            next += Duration::from_secs(1) * CHATS as u32 / MESSAGES as u32;
            tokio::time::sleep_until(next).await;
        }
        sockets.assert_frames_of_each_socket();
        let tokens = sockets.arrivals(is_token).len();
        ((tokens, sockets.arrivals(|_| true).len()), sockets.chats.clone())
    };
    let ((tokens, posts), _) = experiment.run(stream).await;
    println!("{:.0} posts a second, {:.0} of them tokens", posts as f64 / seconds, tokens as f64 / seconds);
    // Acknowledgement, start and end of each message reach the sockets of its chat.
    let others = 3 * SOCKETS_OF_A_CHAT * MESSAGES;
    let allowed = (CHATS * SOCKETS_OF_A_CHAT) as f64 * FIRST * seconds + others as f64 * (seconds + 1.0);
    assert!(posts as f64 <= allowed, "{posts} posts in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_get_few_frames_however_many_answers_stream() {
    long_answers(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn posts_of_long_answers_for_a_minute() {
    long_answers(Length::long()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn posts_of_short_answers_for_a_minute() {
    short_answers(Length::long()).await;
}
