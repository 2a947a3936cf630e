//! Retries and silence timeouts, the same for every agent that calls a provider.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    agent::{Delta, Deltas},
    error::{AgentError, Failure},
};
use crate::runtime::retry::Backoff;

/// How long connecting to a provider may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a provider may be silent before the first token, over all attempts. Models that are loaded on demand take half
/// a minute; a user who sees nothing for longer has left.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a provider may be silent in the middle of a message. Tokens are milliseconds apart unless a model thinks
/// again; after a silence like this the connection is dead.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How many attempts are made.
const ATTEMPTS: u32 = 3;

/// The pauses between attempts: at most 500 ms, then at most 1 s.
const BACKOFF: Backoff = Backoff::full_jitter(Duration::from_millis(500), Duration::from_secs(1));

/// The longest `Retry-After` that is waited for. After a longer one the client decides whether to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Sends a request until the first token arrives, or a failure that is not transient. After the first token there are no
/// retries: a second response would contradict the first.
///
/// A message is complete once its `finish_reason` has come: later failures are dropped. A stream that ends without one is
/// broken off.
pub(super) fn until_first_token<A>(send: impl Fn() -> A + Send + 'static) -> Deltas
where
    A: Future<Output = Result<Deltas, AgentError>> + Send + 'static,
{
    stream::once(retry(send)).flatten().boxed()
}

async fn retry<A>(send: impl Fn() -> A + Send + 'static) -> Deltas
where
    A: Future<Output = Result<Deltas, AgentError>> + Send + 'static,
{
    let deadline = Instant::now() + FIRST_TOKEN_TIMEOUT;
    let mut attempts = 0;
    loop {
        let error = match attempt(send(), deadline).await {
            Ok(deltas) => return deltas,
            Err(error) => error,
        };
        match pause_before_retry(&error, attempts) {
            Some(pause) if attempts + 1 < ATTEMPTS && Instant::now() + pause < deadline => sleep(pause).await,
            _ => return stream::iter([Err(error)]).boxed(),
        }
        attempts += 1;
    }
}

/// The pause before another attempt; `None` when it cannot help.
fn pause_before_retry(error: &AgentError, retry: u32) -> Option<Duration> {
    let pause = error.retry_after().unwrap_or_else(|| BACKOFF.pause(retry));
    (error.failure().is_transient() && pause <= MAX_RETRY_AFTER).then_some(pause)
}

/// Waits for the first token. Returns the message from its start.
async fn attempt<A>(response: A, mut deadline: Instant) -> Result<Deltas, AgentError>
where
    A: Future<Output = Result<Deltas, AgentError>>,
{
    let silent = |_| AgentError::from(Failure::TimedOut);
    let mut deltas = timeout_at(deadline, response).await.map_err(silent)??;
    while let Some(delta) = timeout_at(deadline, deltas.next()).await.map_err(silent)? {
        let delta = delta?;
        if !delta.content.is_empty() || delta.finish_reason.is_some() {
            let rest = StartedMessage { deltas, is_complete: delta.finish_reason.is_some() }.rest();
            return Ok(stream::iter([Ok(delta)]).chain(rest).boxed());
        }
        // A model that thinks or waits in a queue sends empty deltas: it is not silent.
        deadline = Instant::now() + FIRST_TOKEN_TIMEOUT;
    }
    Err(Failure::BrokenOff.into())
}

/// A message whose first token has come.
struct StartedMessage {
    deltas: Deltas,
    is_complete: bool,
}

impl StartedMessage {
    fn rest(self) -> Deltas {
        stream::unfold(Some(self), async |message| message?.next().await).boxed()
    }

    async fn next(mut self) -> Option<(Result<Delta, AgentError>, Option<Self>)> {
        let error = match timeout(TOKEN_TIMEOUT, self.deltas.next()).await {
            Ok(Some(Ok(delta))) => {
                self.is_complete |= delta.finish_reason.is_some();
                return Some((Ok(delta), Some(self)));
            }
            Ok(Some(Err(error))) => error,
            Ok(None) => Failure::BrokenOff.into(),
            Err(_) => Failure::TimedOut.into(),
        };
        (!self.is_complete).then_some((Err(error), None))
    }
}

#[cfg(test)]
mod tests;
