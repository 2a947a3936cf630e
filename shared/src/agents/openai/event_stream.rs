//! The response as server-sent events: one JSON object per event, `[DONE]` at the end.

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Deserialize;
use serde_json::Value;
use sse_stream::Sse;

use super::provider_error::ProviderError;
use crate::{
    agents::{
        agent::{Delta, Deltas},
        error::{AgentError, Failure},
    },
    domain::message::{FinishReason, Usage},
};

type Events = BoxStream<'static, Result<Sse, sse_stream::Error>>;

/// One event. The last one has no choices but the usage.
#[derive(Debug, Deserialize)]
struct StreamEvent {
    choices: Option<Vec<Choice>>,
    usage: Option<TokenCounts>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    delta: Option<ChoiceDelta>,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ChoiceDelta {
    content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenCounts {
    prompt_tokens: u32,
    completion_tokens: u32,
}

/// Reads the deltas of a response.
pub(super) fn read(events: Events) -> Deltas {
    let reader = Reader { events, has_finish_reason: false };
    stream::unfold(Some(reader), async |reader| reader?.next().await).boxed()
}

struct Reader {
    events: Events,
    /// Whether a finish reason has come; the message is complete then.
    has_finish_reason: bool,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Delta, AgentError>, Option<Self>)> {
        loop {
            let data = match self.events.next().await? {
                Ok(event) => event.data.unwrap_or_default(),
                Err(error) => return Some((Err(AgentError::new(Failure::BrokenOff, error)), None)),
            };
            match data.trim() {
                // An event without data keeps the connection alive.
                "" => {}
                "[DONE]" if self.has_finish_reason => return None,
                // Some servers send no finish reason.
                "[DONE]" => {
                    let end = Delta { finish_reason: Some(FinishReason::Stop), ..Delta::default() };
                    return Some((Ok(end), None));
                }
                data => {
                    let delta = delta(data);
                    self.has_finish_reason |= delta.as_ref().is_ok_and(|delta| delta.finish_reason.is_some());
                    return Some((delta, Some(self)));
                }
            }
        }
    }
}

fn delta(data: &str) -> Result<Delta, AgentError> {
    // Errors of serde may quote the event, so they are dropped.
    let event: StreamEvent = serde_json::from_str(data)
        .map_err(|_| AgentError::new(Failure::BrokenOff, "an event of the stream is not valid"))?;
    if let Some(error) = event.error.filter(|error| !error.is_null()) {
        return Err(ProviderError::from_event(&error).into_agent_error());
    }
    let choice = event.choices.and_then(|choices| choices.into_iter().next());
    let (delta, reason) = choice.map_or((None, None), |choice| (choice.delta, choice.finish_reason));
    let finish_reason = match reason.as_deref() {
        None | Some("") => None,
        Some("length") => Some(FinishReason::Length),
        Some("content_filter") => return Err(AgentError::new(Failure::Refused, "finish_reason content_filter")),
        Some(_) => Some(FinishReason::Stop),
    };
    Ok(Delta {
        content: delta.and_then(|delta| delta.content).unwrap_or_default(),
        finish_reason,
        usage: event
            .usage
            .map(|TokenCounts { prompt_tokens, completion_tokens }| Usage::reported(prompt_tokens, completion_tokens)),
    })
}
