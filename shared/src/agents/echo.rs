//! The agent without a provider: it repeats the last turn, token by token, deterministically.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    agent::{Agent, Delta, Deltas},
    conversation::Conversation,
    retry,
};
use crate::domain::{
    chat::ChatConfig,
    echo_pace::{self, SLOWEST},
    message::{FinishReason, Usage},
};

/// Responds to `Hello there` with `You said: Hello there`.
///
/// A chat sets the pace by its `config.model`: `echo@50` is 50 tokens a second, `echo@0` as fast as possible. Any other
/// name keeps the agent's own pace. A pace below [`SLOWEST`] is raised to it.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    pace: Pace,
}

/// Tokens a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    tokens_per_second: f64,
}

impl Pace {
    /// A pace; 0 is as fast as possible, and what is below [`SLOWEST`] is raised to it. `None` for a negative or infinite
    /// number.
    #[must_use]
    pub fn tokens_per_second(tokens_per_second: f64) -> Option<Self> {
        let floored = if tokens_per_second > 0.0 { tokens_per_second.max(SLOWEST) } else { tokens_per_second };
        (floored.is_finite() && floored >= 0.0).then_some(Self { tokens_per_second: floored })
    }

    fn interval(self) -> Option<Duration> {
        (self.tokens_per_second > 0.0).then(|| Duration::try_from_secs_f64(self.tokens_per_second.recip()).ok())?
    }
}

impl Echo {
    /// An echo with a default pace.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace }
    }

    fn pace_for(&self, config: &ChatConfig) -> Pace {
        let requested = config.model.as_ref().and_then(echo_pace::of_model);
        requested.and_then(Pace::tokens_per_second).unwrap_or(self.pace)
    }
}

impl Agent for Echo {
    fn model(&self, config: &ChatConfig) -> String {
        config.model.as_ref().map_or_else(|| "echo".to_owned(), |model| model.as_str().to_owned())
    }

    fn respond(&self, conversation: Conversation) -> Deltas {
        let interval = self.pace_for(&conversation.config).interval();
        let input_tokens = conversation.turns.iter().map(|turn| count(&turn.content)).sum();
        let last_turn = conversation.turns.last().map_or("", |turn| turn.content.as_str());
        let mut tokens = tokens(&format!("You said: {last_turn}"));
        let limit = conversation.config.max_tokens.map_or(usize::MAX, |max| max.get() as usize);
        let finish_reason = if tokens.len() > limit { FinishReason::Length } else { FinishReason::Stop };
        tokens.truncate(limit);
        let usage = Usage::reported(input_tokens, u32::try_from(tokens.len()).unwrap_or(u32::MAX));

        // Each token has its own point in time, so a slow reader does not slow the pace.
        let started = Instant::now();
        let deltas = move || {
            let words = stream::iter((1_u32..).zip(tokens.clone())).then(move |(number, content)| async move {
                match interval {
                    Some(interval) => tokio::time::sleep_until(started + interval.saturating_mul(number)).await,
                    None => tokio::task::yield_now().await,
                }
                Ok(Delta { content, ..Delta::default() })
            });
            let end = Delta { content: String::new(), finish_reason: Some(finish_reason), usage: Some(usage) };
            words.chain(stream::once(async move { Ok(end) })).boxed()
        };
        // For the silence timeouts: the first attempt succeeds.
        retry::until_first_token(move || std::future::ready(Ok(deltas())))
    }
}

/// Splits a text into words, each with the whitespace before it. Joined, they are the text.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut start = 0;
    let mut in_word = false;
    for (at, character) in text.char_indices() {
        if character.is_whitespace() && in_word {
            tokens.push(text[start..at].to_owned());
            start = at;
        }
        in_word = !character.is_whitespace();
    }
    tokens.push(text[start..].to_owned());
    tokens
}

fn count(text: &str) -> u32 {
    u32::try_from(tokens(text).len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agents::{conversation::Turn, error::Failure},
        domain::message::Role,
    };

    async fn respond(content: &str, config: ChatConfig) -> Vec<Delta> {
        let turns = vec![Turn { role: Role::User, content: content.to_owned() }];
        let pace = Pace::tokens_per_second(0.0).expect("zero is a pace");
        let deltas = Echo::new(pace).respond(Conversation { turns, config });
        deltas.map(|delta| delta.expect("the echo does not fail")).collect().await
    }

    #[tokio::test]
    async fn last_turn_is_repeated_token_by_token() {
        let content = "  Grüße, \n\n👩‍👩‍👧 from 東京 ";
        let deltas = respond(content, ChatConfig::default()).await;
        let joined: String = deltas.iter().map(|delta| delta.content.as_str()).collect();
        assert_eq!(joined, format!("You said: {content}"));
        assert_eq!(deltas.last().and_then(|delta| delta.finish_reason), Some(FinishReason::Stop));
        assert!(deltas.len() > 5, "token by token");
        assert_eq!(deltas, respond(content, ChatConfig::default()).await, "deterministic");
    }

    #[tokio::test]
    async fn response_ends_at_max_tokens() {
        let config = serde_json::from_value(serde_json::json!({ "max_tokens": 2 })).expect("a configuration");
        let deltas = respond("one two three", config).await;
        let joined: String = deltas.iter().map(|delta| delta.content.as_str()).collect();
        assert_eq!(joined, "You said:");
        assert_eq!(deltas.last().and_then(|delta| delta.finish_reason), Some(FinishReason::Length));
        assert_eq!(deltas.last().and_then(|delta| delta.usage).map(|usage| usage.output_tokens), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn model_name_sets_the_pace() {
        let config = serde_json::from_value(serde_json::json!({ "model": "echo@10" })).expect("a configuration");
        let started = Instant::now();
        let words = respond("one two three", config).await.len() - 1;
        assert_eq!(started.elapsed().as_millis(), 100 * words as u128);
    }

    #[tokio::test(start_paused = true)]
    async fn pace_has_a_floor() {
        let config = serde_json::from_value(serde_json::json!({ "model": "echo@0.001" })).expect("a configuration");
        let started = Instant::now();
        let words = respond("one two three", config).await.len() - 1;
        assert_eq!(started.elapsed().as_secs(), words as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_times_out() {
        let turns = vec![Turn { role: Role::User, content: "Hello".to_owned() }];
        // Slower than any pace that a chat can set.
        let echo = Echo::new(Pace { tokens_per_second: 0.01 });
        let deltas: Vec<_> = echo.respond(Conversation { turns, config: ChatConfig::default() }).collect().await;
        let failures: Vec<_> = deltas.into_iter().map(|delta| delta.map_err(|error| error.failure())).collect();
        assert_eq!(failures, [Err(Failure::TimedOut)]);
    }
}
