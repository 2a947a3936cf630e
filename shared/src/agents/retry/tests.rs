use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use super::*;
use crate::domain::message::{FinishReason, Usage};

/// What a scripted provider does next.
#[derive(Clone, Debug)]
enum Step {
    Says(&'static str),
    Silent(Duration),
    Fails(Failure),
    Ends(FinishReason),
    Counts,
}

use Step::{Counts, Ends, Fails, Says, Silent};

const STOP: Step = Ends(FinishReason::Stop);

/// What a provider does when it is asked once.
type Try = Result<Vec<Step>, AgentError>;

/// A provider that does what is written for each time that it is asked.
#[derive(Clone, Debug)]
struct Script(Arc<Mutex<VecDeque<Try>>>);

impl Script {
    fn new(tries: impl IntoIterator<Item = Try>) -> Self {
        Self(Arc::new(Mutex::new(tries.into_iter().collect())))
    }

    fn answer(&self) -> Deltas {
        let script = self.clone();
        answer(move || {
            let next = script.0.lock().expect("nobody panics").pop_front();
            async move { Ok(perform(next.expect("asked no more than written")?)) }
        })
    }

    fn tries_left(&self) -> usize {
        self.0.lock().expect("nobody panics").len()
    }
}

fn perform(steps: Vec<Step>) -> Deltas {
    let steps = stream::iter(steps).then(|step| async move {
        let nothing = Delta::default();
        match step {
            Says(text) => Ok(Delta { content: text.to_owned(), ..nothing }),
            Ends(reason) => Ok(Delta { finish_reason: Some(reason), ..nothing }),
            Counts => Ok(Delta { usage: Some(Usage::default()), ..nothing }),
            Fails(failure) => Err(failure.into()),
            Silent(pause) => {
                sleep(pause).await;
                Ok(nothing)
            }
        }
    });
    steps.boxed()
}

/// What was said, and how it failed, if it did.
async fn heard(mut deltas: Deltas) -> (String, Option<Failure>) {
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(delta) => text.push_str(&delta.content),
            Err(error) => {
                assert!(deltas.next().await.is_none(), "nothing comes after a failure");
                return (text, Some(error.failure()));
            }
        }
    }
    (text, None)
}

async fn perform_all(tries: impl IntoIterator<Item = Try>) -> (String, Option<Failure>, usize) {
    let script = Script::new(tries);
    let (text, failure) = heard(script.answer()).await;
    (text, failure, script.tries_left())
}

fn overloaded() -> Try {
    Err(Failure::Overloaded.into())
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again_before_the_first_token() {
    let fine = || Ok(vec![Silent(Duration::ZERO), Says("fine"), STOP, Counts]);
    assert_eq!(perform_all([overloaded(), overloaded(), fine()]).await, ("fine".to_owned(), None, 0));
    let broken = || Ok(vec![Silent(Duration::ZERO), Fails(Failure::BrokenOff)]);
    assert_eq!(perform_all([broken(), Ok(vec![]), fine()]).await, ("fine".to_owned(), None, 0));
}

#[tokio::test(start_paused = true)]
async fn three_times_are_enough() {
    let tries = [overloaded(), overloaded(), overloaded(), Ok(vec![Says("too late"), STOP])];
    assert_eq!(perform_all(tries).await, (String::new(), Some(Failure::Overloaded), 1));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not_tried_again() {
    for failure in [Failure::Denied, Failure::Rejected, Failure::Refused, Failure::TimedOut] {
        let tries = [Err(failure.into()), Ok(vec![Says("never asked"), STOP])];
        assert_eq!(perform_all(tries).await, (String::new(), Some(failure), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_first_token_nothing_is_tried_again_and_what_came_is_kept() {
    for failure in [Failure::Overloaded, Failure::BrokenOff, Failure::Refused] {
        let tries = [Ok(vec![Says("half "), Says("an"), Fails(failure)]), Ok(vec![Says("never asked"), STOP])];
        assert_eq!(perform_all(tries).await, ("half an".to_owned(), Some(failure), 1));
    }
    assert_eq!(perform_all([Ok(vec![Says("half")])]).await, ("half".to_owned(), Some(Failure::BrokenOff), 0));
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_after_is_waited_for_and_a_long_one_ends_it() {
    let after = |seconds| {
        let pause = Some(Duration::from_secs(seconds));
        Err(AgentError::from(Failure::Overloaded).with_retry_after(pause))
    };
    let begun = Instant::now();
    let fine = || Ok(vec![Says("fine"), STOP]);
    assert_eq!(perform_all([after(7), fine()]).await, ("fine".to_owned(), None, 0));
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(perform_all([after(11), fine()]).await, (String::new(), Some(Failure::Overloaded), 1));
}

#[tokio::test(start_paused = true)]
async fn silence_before_the_first_token_ends_all_tries_together() {
    let begun = Instant::now();
    let silent = || Ok(vec![Silent(FIRST_TOKEN * 2), Says("too late"), STOP]);
    let tries = [overloaded(), silent(), Ok(vec![Says("never asked"), STOP])];
    assert_eq!(perform_all(tries).await, (String::new(), Some(Failure::TimedOut), 1));
    assert_eq!(begun.elapsed().as_secs(), FIRST_TOKEN.as_secs(), "one retry for both");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_thinks_aloud_is_not_silent() {
    let thinks = Silent(FIRST_TOKEN - Duration::from_secs(1));
    let steps = vec![thinks.clone(), thinks, Says("42"), STOP];
    assert_eq!(perform_all([Ok(steps)]).await, ("42".to_owned(), None, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_between_tokens_ends_an_answer() {
    let patient = Silent(BETWEEN_TOKENS - Duration::from_secs(1));
    let steps = vec![Says("one "), patient, Says("two"), Silent(BETWEEN_TOKENS * 2), Says("three"), STOP];
    assert_eq!(perform_all([Ok(steps)]).await, ("one two".to_owned(), Some(Failure::TimedOut), 0));
}

#[tokio::test(start_paused = true)]
async fn what_breaks_after_the_end_breaks_nothing() {
    for last in [Fails(Failure::BrokenOff), Silent(BETWEEN_TOKENS * 2)] {
        let steps = vec![Says("all of it"), STOP, last];
        assert_eq!(perform_all([Ok(steps)]).await, ("all of it".to_owned(), None, 0));
    }
    let empty = vec![Ends(FinishReason::Length), Fails(Failure::BrokenOff)];
    assert_eq!(perform_all([Ok(empty)]).await, (String::new(), None, 0));
}

#[tokio::test(start_paused = true)]
async fn the_usage_may_come_after_the_end() {
    let script = Script::new([Ok(vec![Says("x"), STOP, Counts])]);
    let last = script.answer().collect::<Vec<_>>().await.pop();
    assert!(last.and_then(Result::ok).is_some_and(|delta| delta.usage.is_some()));
}

#[test]
fn nothing_is_asked_before_somebody_listens() {
    let script = Script::new([overloaded()]);
    drop(script.answer());
    assert_eq!(script.tries_left(), 1);
}
