use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::*;
use crate::domain::message::{FinishReason, Usage};

/// One step of a scripted provider.
#[derive(Clone, Debug)]
enum Step {
    Token(&'static str),
    Silence(Duration),
    Fail(Failure),
    Finish(FinishReason),
    Usage,
}

use Step::{Fail, Finish, Silence, Token};

const STOP: Step = Finish(FinishReason::Stop);

/// The response to one request.
type Response = Result<Vec<Step>, AgentError>;

/// A provider that responds to each request as scripted.
#[derive(Clone, Debug)]
struct Provider(Arc<Mutex<VecDeque<Response>>>);

impl Provider {
    fn new(responses: impl IntoIterator<Item = Response>) -> Self {
        Self(Arc::new(Mutex::new(responses.into_iter().collect())))
    }

    fn respond(&self) -> Deltas {
        let provider = self.clone();
        until_first_token(move || {
            let next = provider.0.lock().expect("no panic").pop_front();
            async move { Ok(play(next.expect("no more requests than scripted")?)) }
        })
    }

    fn responses_left(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

fn play(steps: Vec<Step>) -> Deltas {
    let steps = stream::iter(steps).then(|step| async move {
        let empty = Delta::default();
        match step {
            Token(text) => Ok(Delta { content: text.to_owned(), ..empty }),
            Finish(reason) => Ok(Delta { finish_reason: Some(reason), ..empty }),
            Step::Usage => Ok(Delta { usage: Some(Usage::default()), ..empty }),
            Fail(failure) => Err(failure.into()),
            Silence(pause) => {
                sleep(pause).await;
                Ok(empty)
            }
        }
    });
    steps.boxed()
}

/// The text of a message, and how it failed.
async fn collect(mut deltas: Deltas) -> (String, Option<Failure>) {
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(delta) => text.push_str(&delta.content),
            Err(error) => {
                assert!(deltas.next().await.is_none(), "a failure ends the stream");
                return (text, Some(error.failure()));
            }
        }
    }
    (text, None)
}

/// Text, failure, and the responses that were not requested.
async fn run(responses: impl IntoIterator<Item = Response>) -> (String, Option<Failure>, usize) {
    let provider = Provider::new(responses);
    let (text, failure) = collect(provider.respond()).await;
    (text, failure, provider.responses_left())
}

fn overloaded() -> Response {
    Err(Failure::Overloaded.into())
}

#[tokio::test(start_paused = true)]
async fn transient_failure_before_the_first_token_is_retried() {
    let fine = || Ok(vec![Silence(Duration::ZERO), Token("fine"), STOP, Step::Usage]);
    assert_eq!(run([overloaded(), overloaded(), fine()]).await, ("fine".to_owned(), None, 0));
    let broken = || Ok(vec![Silence(Duration::ZERO), Fail(Failure::BrokenOff)]);
    assert_eq!(run([broken(), Ok(vec![]), fine()]).await, ("fine".to_owned(), None, 0));
}

#[tokio::test(start_paused = true)]
async fn at_most_three_attempts_are_made() {
    let started = Instant::now();
    let responses = [overloaded(), overloaded(), overloaded(), Ok(vec![Token("too late"), STOP])];
    assert_eq!(run(responses).await, (String::new(), Some(Failure::Overloaded), 1));
    assert!(started.elapsed() <= Duration::from_millis(1_510), "at most 0.5 s and 1 s between them");
}

#[tokio::test(start_paused = true)]
async fn permanent_failure_is_not_retried() {
    for failure in [Failure::Denied, Failure::Rejected, Failure::Refused, Failure::TimedOut] {
        let responses = [Err(failure.into()), Ok(vec![Token("never requested"), STOP])];
        assert_eq!(run(responses).await, (String::new(), Some(failure), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn failure_after_the_first_token_is_not_retried_and_keeps_the_text() {
    for failure in [Failure::Overloaded, Failure::BrokenOff, Failure::Refused] {
        let broken = vec![Token("half "), Token("an"), Fail(failure)];
        let responses = [Ok(broken), Ok(vec![Token("never requested"), STOP])];
        assert_eq!(run(responses).await, ("half an".to_owned(), Some(failure), 1));
    }
    assert_eq!(run([Ok(vec![Token("half")])]).await, ("half".to_owned(), Some(Failure::BrokenOff), 0));
}

#[tokio::test(start_paused = true)]
async fn short_retry_after_is_waited_for_and_a_long_one_ends_the_attempts() {
    let after = |seconds| {
        let pause = Some(Duration::from_secs(seconds));
        Err(AgentError::from(Failure::Overloaded).with_retry_after(pause))
    };
    let started = Instant::now();
    let fine = || Ok(vec![Token("fine"), STOP]);
    assert_eq!(run([after(7), fine()]).await, ("fine".to_owned(), None, 0));
    assert_eq!(started.elapsed().as_secs(), 7);
    assert_eq!(run([after(11), fine()]).await, (String::new(), Some(Failure::Overloaded), 1));
}

#[tokio::test(start_paused = true)]
async fn first_token_timeout_covers_all_attempts() {
    let started = Instant::now();
    let silent = || Ok(vec![Silence(FIRST_TOKEN_TIMEOUT * 2), Token("too late"), STOP]);
    let responses = [overloaded(), silent(), Ok(vec![Token("never requested"), STOP])];
    assert_eq!(run(responses).await, (String::new(), Some(Failure::TimedOut), 1));
    assert_eq!(started.elapsed().as_secs(), FIRST_TOKEN_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn empty_deltas_are_not_silence() {
    let thinks = Silence(FIRST_TOKEN_TIMEOUT - Duration::from_secs(1));
    let steps = vec![thinks.clone(), thinks, Token("42"), STOP];
    assert_eq!(run([Ok(steps)]).await, ("42".to_owned(), None, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_between_tokens_ends_the_message() {
    let short = Silence(TOKEN_TIMEOUT - Duration::from_secs(1));
    let steps = vec![Token("one "), short, Token("two"), Silence(TOKEN_TIMEOUT * 2), Token("three"), STOP];
    assert_eq!(run([Ok(steps)]).await, ("one two".to_owned(), Some(Failure::TimedOut), 0));
}

#[tokio::test(start_paused = true)]
async fn failure_after_the_finish_reason_is_dropped() {
    for last in [Fail(Failure::BrokenOff), Silence(TOKEN_TIMEOUT * 2)] {
        let steps = vec![Token("all of it"), STOP, last];
        assert_eq!(run([Ok(steps)]).await, ("all of it".to_owned(), None, 0));
    }
    let empty = vec![Finish(FinishReason::Length), Fail(Failure::BrokenOff)];
    assert_eq!(run([Ok(empty)]).await, (String::new(), None, 0));
}

#[tokio::test(start_paused = true)]
async fn usage_may_follow_the_finish_reason() {
    let provider = Provider::new([Ok(vec![Token("x"), STOP, Step::Usage])]);
    let last = provider.respond().collect::<Vec<_>>().await.pop();
    assert!(last.and_then(Result::ok).is_some_and(|delta| delta.usage.is_some()));
}

#[test]
fn no_request_is_sent_before_the_stream_is_polled() {
    let provider = Provider::new([overloaded()]);
    drop(provider.respond());
    assert_eq!(provider.responses_left(), 1);
}
