//! From the agent to the buffer.

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, StreamExt};

use super::{end::GenerationEnd, text_buffer::TextBuffer};
use crate::{
    agents::{AgentError, Deltas},
    domain::{
        message::{FinishReason, Usage},
        time::Timestamp,
    },
    runtime::clock::Clock,
};

/// The longest message, in bytes of UTF-8: a DynamoDB item holds 400 KB.
pub(super) const MAX_MESSAGE_BYTES: usize = 300_000;

/// What an agent reported beside its text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AgentReport {
    pub(super) first_token_ms: Option<u64>,
    /// `None` until the agent reports it.
    pub(super) usage: Option<Usage>,
}

/// Appends the agent's text to the buffer until its end. Returns why it ended, also when the agent fails or panics.
pub(super) async fn forward_deltas(
    mut deltas: Deltas,
    buffer: &TextBuffer,
    report: &mut AgentReport,
    received_at: Timestamp,
    clock: Clock,
) -> GenerationEnd {
    let mut finish_reason = FinishReason::Stop;
    loop {
        let delta = match AssertUnwindSafe(deltas.next()).catch_unwind().await {
            Ok(None) => return GenerationEnd::Completed(finish_reason),
            Ok(Some(Ok(delta))) => delta,
            Ok(Some(Err(error))) => return GenerationEnd::Failed(error.into()),
            Err(_) => return GenerationEnd::Failed(AgentError::panicked().into()),
        };
        report.usage = delta.usage.or(report.usage);
        finish_reason = delta.finish_reason.unwrap_or(finish_reason);
        if !delta.content.is_empty() {
            report.first_token_ms.get_or_insert_with(|| clock.now().millis_since(received_at));
            let space = MAX_MESSAGE_BYTES - buffer.len();
            let text = &delta.content[..delta.content.floor_char_boundary(space)];
            buffer.push(text);
            if text.len() < delta.content.len() {
                return GenerationEnd::Completed(FinishReason::Length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;
    use crate::{
        agents::{Delta, Failure},
        domain::error::Code,
    };

    fn token(text: &str) -> Result<Delta, AgentError> {
        Ok(Delta { content: text.to_owned(), ..Delta::default() })
    }

    async fn forward(deltas: Deltas) -> (GenerationEnd, String, AgentReport) {
        let (buffer, mut report) = (TextBuffer::new(), AgentReport::default());
        let clock = Clock::tokio(Timestamp::from_millis(0));
        let end = forward_deltas(deltas, &buffer, &mut report, clock.now(), clock).await;
        (end, buffer.text_from(0), report)
    }

    #[tokio::test(start_paused = true)]
    async fn text_finish_reason_usage_and_first_token_time_are_kept() {
        let usage = Usage::reported(3, 2);
        let last = Delta { finish_reason: Some(FinishReason::Length), usage: Some(usage), ..Delta::default() };
        let deltas = stream::iter([token(""), token("one "), token("two"), Ok(last)]).then(async |delta| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            delta
        });
        let (end, text, report) = forward(deltas.boxed()).await;
        assert!(matches!(end, GenerationEnd::Completed(FinishReason::Length)), "{end:?}");
        assert_eq!((text.as_str(), report.usage, report.first_token_ms), ("one two", Some(usage), Some(200)));
    }

    #[tokio::test]
    async fn message_over_the_size_limit_ends_with_length_at_a_character() {
        let endless = stream::repeat_with(|| token(&"é".repeat(999)));
        let (end, text, _) = forward(endless.boxed()).await;
        assert!(matches!(end, GenerationEnd::Completed(FinishReason::Length)), "{end:?}");
        assert!((MAX_MESSAGE_BYTES - 1..=MAX_MESSAGE_BYTES).contains(&text.len()), "{}", text.len());
    }

    #[tokio::test]
    async fn failing_or_panicking_agent_keeps_its_text() {
        for panics in [false, true] {
            let failure = stream::once(async move {
                assert!(!panics, "the agent's panic");
                Err(Failure::BrokenOff.into())
            });
            let (end, text, _) = forward(stream::iter([token("half")]).chain(failure).boxed()).await;
            assert!(matches!(end, GenerationEnd::Failed(error) if error.code() == Code::AgentError));
            assert_eq!(text, "half");
        }
    }
}
