//! An answer as it is streamed: one chunk of JSON an event, `[DONE]` at the end.

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Deserialize;
use serde_json::Value;
use sse_stream::Sse;

use super::complaint::Complaint;
use crate::{
    agents::{AgentError, Delta, Deltas, Failure},
    domain::message::{FinishReason, Usage},
};

type Events = BoxStream<'static, Result<Sse, sse_stream::Error>>;

/// One chunk. The last one has no choices, but the usage.
#[derive(Debug, Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    delta: Option<Part>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Part {
    content: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Tokens {
    prompt_tokens: u32,
    completion_tokens: u32,
}

/// Reads an answer.
pub(super) fn read(events: Events) -> Deltas {
    let answer = Answer { events, is_whole: false };
    stream::unfold(Some(answer), async |answer| answer?.next().await).boxed()
}

struct Answer {
    events: Events,
    /// Whether it has told why it ends.
    is_whole: bool,
}

impl Answer {
    async fn next(mut self) -> Option<(Result<Delta, AgentError>, Option<Self>)> {
        loop {
            let data = match self.events.next().await? {
                Ok(event) => event.data.unwrap_or_default(),
                Err(error) => return Some((Err(AgentError::new(Failure::BrokenOff, error)), None)),
            };
            match data.trim() {
                // Nothing but a name, or a sign of life.
                "" => {}
                "[DONE]" if self.is_whole => return None,
                // A server that gives no reasons has come to its end all the same.
                "[DONE]" => {
                    let end = Delta { finish_reason: Some(FinishReason::Stop), ..Delta::default() };
                    return Some((Ok(end), None));
                }
                chunk => {
                    let delta = delta(chunk);
                    self.is_whole |= delta.as_ref().is_ok_and(|delta| delta.finish_reason.is_some());
                    return Some((delta, Some(self)));
                }
            }
        }
    }
}

fn delta(chunk: &str) -> Result<Delta, AgentError> {
    // What serde says may quote the chunk, so it is not kept.
    let chunk: Chunk = serde_json::from_str(chunk)
        .map_err(|_| AgentError::new(Failure::BrokenOff, "an event of the answer is not a chunk"))?;
    if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
        return Err(Complaint::in_answer(&error).into_error());
    }
    let choice = chunk.choices.and_then(|choices| choices.into_iter().next());
    let (part, reason) = choice.map_or((None, None), |choice| (choice.delta, choice.finish_reason));
    let finish_reason = match reason.as_deref() {
        None | Some("") => None,
        Some("length") => Some(FinishReason::Length),
        Some("content_filter") => return Err(AgentError::new(Failure::Refused, "finish_reason content_filter")),
        Some(_) => Some(FinishReason::Stop),
    };
    Ok(Delta {
        content: part.and_then(|part| part.content).unwrap_or_default(),
        finish_reason,
        usage: chunk.usage.map(|Tokens { prompt_tokens, completion_tokens }| Usage {
            input_tokens: prompt_tokens,
            output_tokens: completion_tokens,
        }),
    })
}
