//! How long a provider is waited for, and how often it is asked. The same for every agent that calls one.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{AgentError, Delta, Deltas, Failure};

/// How long a connection may take: a handshake that needs more than this does not come.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// How long a provider may be silent before the first token, with all tries together. Models that are loaded on demand
/// take half a minute; a person who sees nothing for longer has gone.
const FIRST_TOKEN: Duration = Duration::from_secs(60);

/// How long a provider may be silent in the middle of an answer. Between two tokens lie milliseconds, unless a model
/// thinks again; a silence like this one is a connection that has died without a word.
const BETWEEN_TOKENS: Duration = Duration::from_secs(30);

/// How often a provider is asked.
const TRIES: u32 = 3;

/// The longest pause before the second try; twice that before the third.
const PAUSE: Duration = Duration::from_millis(500);

/// A provider that wants to be left alone for longer is not asked again: the client knows better whether to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Asks until the first token, or the first failure that does not pass; from then on there is one answer, which a
/// second try could only contradict.
///
/// The answer is whole when it has told its `finish_reason`: what breaks after that breaks nothing. One that ends
/// without has broken off.
pub(super) fn answer<A>(ask: impl Fn() -> A + Send + 'static) -> Deltas
where
    A: Future<Output = Result<Deltas, AgentError>> + Send + 'static,
{
    stream::once(begin(ask)).flatten().boxed()
}

async fn begin<A>(ask: impl Fn() -> A + Send + 'static) -> Deltas
where
    A: Future<Output = Result<Deltas, AgentError>> + Send + 'static,
{
    let patience_ends = Instant::now() + FIRST_TOKEN;
    let mut tries = 0;
    loop {
        tries += 1;
        let failure = match until_first_token(ask(), patience_ends).await {
            Ok(begun) => return begun,
            Err(failure) => failure,
        };
        match pause_after(&failure, PAUSE * tries) {
            Some(pause) if tries < TRIES && Instant::now() + pause < patience_ends => sleep(pause).await,
            _ => return stream::iter([Err(failure)]).boxed(),
        }
    }
}

/// How long to wait before asking again, if that may help. At random up to `longest`, so that many that failed at once
/// do not come back at once.
fn pause_after(failure: &AgentError, longest: Duration) -> Option<Duration> {
    let pause = failure.retry_after().unwrap_or_else(|| longest.mul_f64(rand::random()));
    (failure.failure().is_passing() && pause <= LONGEST_PAUSE).then_some(pause)
}

/// Waits for the first token; returns the answer from its beginning.
async fn until_first_token<A>(ask: A, mut patience_ends: Instant) -> Result<Deltas, AgentError>
where
    A: Future<Output = Result<Deltas, AgentError>>,
{
    let silent = |_| AgentError::from(Failure::TimedOut);
    let mut deltas = timeout_at(patience_ends, ask).await.map_err(silent)??;
    while let Some(delta) = timeout_at(patience_ends, deltas.next()).await.map_err(silent)? {
        let delta = delta?;
        if !delta.content.is_empty() || delta.finish_reason.is_some() {
            let rest = Listening { deltas, is_whole: delta.finish_reason.is_some() }.rest();
            return Ok(stream::iter([Ok(delta)]).chain(rest).boxed());
        }
        // A model that thinks, or waits for its turn, sends empty deltas: it is not silent.
        patience_ends = Instant::now() + FIRST_TOKEN;
    }
    Err(Failure::BrokenOff.into())
}

/// An answer that has begun.
struct Listening {
    deltas: Deltas,
    /// Whether all of it is there.
    is_whole: bool,
}

impl Listening {
    fn rest(self) -> Deltas {
        stream::unfold(Some(self), async |listening| listening?.next().await).boxed()
    }

    async fn next(mut self) -> Option<(Result<Delta, AgentError>, Option<Self>)> {
        let failure = match timeout(BETWEEN_TOKENS, self.deltas.next()).await {
            Ok(Some(Ok(delta))) => {
                self.is_whole |= delta.finish_reason.is_some();
                return Some((Ok(delta), Some(self)));
            }
            Ok(Some(Err(failure))) => failure,
            Ok(None) => Failure::BrokenOff.into(),
            Err(_) => Failure::TimedOut.into(),
        };
        (!self.is_whole).then_some((Err(failure), None))
    }
}

#[cfg(test)]
mod tests;
