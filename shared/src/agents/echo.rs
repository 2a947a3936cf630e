//! The agent that needs nothing: it says again what it was told, token by token, the same way every time.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{Agent, Conversation, Delta, Deltas};
use crate::domain::{
    chat::ChatConfig,
    message::{FinishReason, Usage},
};

/// Answers `Hello there` with `You said: Hello there`.
///
/// A chat may set the pace by its `config.model`: `echo@50` is 50 tokens a second, `echo@0` as fast as it can; any
/// other name leaves the agent's own pace.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    pace: Pace,
}

/// How fast the echo speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    tokens_per_second: f64,
}

impl Pace {
    /// So many tokens a second, or as fast as possible with 0; `None` for a negative or endless number.
    #[must_use]
    pub fn tokens_per_second(tokens_per_second: f64) -> Option<Self> {
        (tokens_per_second.is_finite() && tokens_per_second >= 0.0).then_some(Self { tokens_per_second })
    }

    fn between_tokens(self) -> Option<Duration> {
        (self.tokens_per_second > 0.0).then(|| Duration::try_from_secs_f64(self.tokens_per_second.recip()).ok())?
    }
}

impl Echo {
    /// An echo that speaks at `pace` where the chat does not say otherwise.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace }
    }

    fn pace_for(&self, config: &ChatConfig) -> Pace {
        let wanted = config.model.as_ref().and_then(|model| model.as_str().strip_prefix("echo@"));
        wanted.and_then(|number| number.parse().ok()).and_then(Pace::tokens_per_second).unwrap_or(self.pace)
    }
}

impl Agent for Echo {
    fn model(&self, config: &ChatConfig) -> String {
        config.model.as_ref().map_or_else(|| "echo".to_owned(), |model| model.as_str().to_owned())
    }

    fn answer(&self, conversation: Conversation) -> Deltas {
        let pause = self.pace_for(&conversation.config).between_tokens();
        let input_tokens = conversation.turns.iter().map(|turn| count(&turn.content)).sum();
        let said = conversation.turns.last().map_or("", |turn| turn.content.as_str());
        let mut tokens = tokens(&format!("You said: {said}"));
        let longest = conversation.config.max_tokens.map_or(usize::MAX, |max| max.get() as usize);
        let finish_reason = if tokens.len() > longest { FinishReason::Length } else { FinishReason::Stop };
        tokens.truncate(longest);
        let usage = Usage { input_tokens, output_tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX) };

        // Each token is due at its own moment, so that the pace holds however slow the reader is in between.
        let begun = Instant::now();
        let words = stream::iter((1_u32..).zip(tokens)).then(move |(number, content)| async move {
            match pause {
                Some(pause) => tokio::time::sleep_until(begun + pause.saturating_mul(number)).await,
                None => tokio::task::yield_now().await,
            }
            Ok(Delta { content, ..Delta::default() })
        });
        let end = Delta { content: String::new(), finish_reason: Some(finish_reason), usage: Some(usage) };
        words.chain(stream::once(async move { Ok(end) })).boxed()
    }
}

/// Cuts a text into words, each with the space before it. Nothing is lost: joined, they are the text.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut begin = 0;
    let mut in_word = false;
    for (at, character) in text.char_indices() {
        if character.is_whitespace() && in_word {
            tokens.push(text[begin..at].to_owned());
            begin = at;
        }
        in_word = !character.is_whitespace();
    }
    tokens.push(text[begin..].to_owned());
    tokens
}

fn count(text: &str) -> u32 {
    u32::try_from(tokens(text).len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agents::Turn, domain::message::Role};

    async fn answer(content: &str, config: ChatConfig) -> Vec<Delta> {
        let turns = vec![Turn { role: Role::User, content: content.to_owned() }];
        let pace = Pace::tokens_per_second(0.0).expect("zero is a pace");
        let answer = Echo::new(pace).answer(Conversation { turns, config });
        answer.map(|delta| delta.expect("the echo does not fail")).collect().await
    }

    #[tokio::test]
    async fn says_again_what_it_was_told() {
        let said = "  Grüße, \n\n👩‍👩‍👧 from 東京 ";
        let deltas = answer(said, ChatConfig::default()).await;
        let joined: String = deltas.iter().map(|delta| delta.content.as_str()).collect();
        assert_eq!(joined, format!("You said: {said}"));
        assert_eq!(deltas.last().and_then(|delta| delta.finish_reason), Some(FinishReason::Stop));
        assert!(deltas.len() > 5, "token by token");
        assert_eq!(deltas, answer(said, ChatConfig::default()).await, "the same way every time");
    }

    #[tokio::test]
    async fn stops_at_the_longest_that_is_allowed() {
        let config = serde_json::from_value(serde_json::json!({ "max_tokens": 2 })).expect("a configuration");
        let deltas = answer("one two three", config).await;
        let joined: String = deltas.iter().map(|delta| delta.content.as_str()).collect();
        assert_eq!(joined, "You said:");
        assert_eq!(deltas.last().and_then(|delta| delta.finish_reason), Some(FinishReason::Length));
        assert_eq!(deltas.last().and_then(|delta| delta.usage).map(|usage| usage.output_tokens), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_chat_can_set_the_pace() {
        let config = serde_json::from_value(serde_json::json!({ "model": "echo@10" })).expect("a configuration");
        let begun = Instant::now();
        let words = answer("one two three", config).await.len() - 1;
        assert_eq!(begun.elapsed().as_millis(), 100 * words as u128);
    }
}
