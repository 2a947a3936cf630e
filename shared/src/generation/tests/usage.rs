//! What a generation is charged: the message, the budget and the counts get the same.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::fakes::{Fixture, INPUT_TOKENS, agent, steady_agent};
use crate::{
    agents::{AgentError, Delta, Deltas, Failure},
    domain::{id::ConnectionId, message::Usage},
};

/// The usage of a generation, which all three get.
fn usage_of(fixture: &Fixture) -> Usage {
    let stored = fixture.store.stored();
    let used = stored.settled_with.expect("the budget is settled");
    assert_eq!(stored.removed_with, Some(used));
    // A deleted chat has no message.
    assert!(stored.outcome.as_ref().is_none_or(|(_, outcome)| outcome.usage == used));
    used
}

async fn usage_after(deltas: Deltas) -> Usage {
    let fixture = Fixture::new(&["a"]);
    fixture.generate(deltas).await;
    usage_of(&fixture)
}

fn text_then_failure(text: &'static str, failure: Failure) -> Deltas {
    let text = stream::iter([Ok(Delta { content: text.to_owned(), ..Delta::default() })]);
    text.chain(stream::iter([Err(AgentError::from(failure))])).boxed()
}

#[tokio::test(start_paused = true)]
async fn reported_tokens_are_charged() {
    let reported = Usage::reported(20, 3);
    let last = stream::iter([Ok(Delta { usage: Some(reported), ..Delta::default() })]);
    assert_eq!(usage_after(agent([(10, "Hi".to_owned())]).chain(last).boxed()).await, reported);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_not_reported_are_estimated_from_request_and_text() {
    assert_eq!(usage_after(agent([(10, "Good day".to_owned())])).await, Usage::estimated(INPUT_TOKENS, "Good day"));
}

#[tokio::test(start_paused = true)]
async fn only_a_request_that_the_provider_refused_at_once_is_free() {
    for failure in [Failure::Unavailable, Failure::Overloaded, Failure::Denied, Failure::Rejected] {
        assert_eq!(usage_after(text_then_failure("", failure)).await, Usage::default(), "{failure}");
        let broken_off = usage_after(text_then_failure("Good day", failure)).await;
        assert_eq!(broken_off, Usage::estimated(INPUT_TOKENS, "Good day"), "{failure}");
    }
    for failure in [Failure::TimedOut, Failure::BrokenOff, Failure::Refused, Failure::Panicked] {
        assert_eq!(usage_after(text_then_failure("", failure)).await, Usage::estimated(INPUT_TOKENS, ""), "{failure}");
    }
}

/// Else a client that cancels or deletes just before the first token would use models for nothing.
#[tokio::test(start_paused = true)]
async fn request_is_charged_if_the_answer_ends_before_its_first_token() {
    for is_deleted in [false, true] {
        let fixture = Fixture::new(&["a"]);
        let ending = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let mut stored = fixture.store.stored();
            stored.is_deleted = is_deleted;
            stored.cancelled_by = Some(ConnectionId::from_gateway("a"));
        };
        tokio::join!(fixture.generate(steady_agent(20_000, 40_000)), ending);
        assert_eq!(usage_of(&fixture), Usage::estimated(INPUT_TOKENS, ""), "deleted: {is_deleted}");
    }
}
