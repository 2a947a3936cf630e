//! Answers: whole, in order, nothing twice.

use std::time::Duration;

use serde_json::json;

use super::server::{MESSAGE_TIMEOUT, Peer, Server, cancel, resume, stream};
use crate::{Answer, Chat, Code, Frame, Update, event::FinishReason};

const SECOND: Duration = Duration::from_secs(1);

/// A chat whose answer `a0` has begun with "one ".
async fn streaming() -> (Chat, Server, Peer, Answer) {
    let (chat, server, mut peer) = Server::chat().await;
    let answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    peer.receive(0, &id).await;
    peer.start(0).await;
    peer.part(0, 0, "one ").await;
    answer.clone().next().await.expect("text");
    (chat, server, peer, answer)
}

async fn text(answer: &Answer) -> String {
    answer.ended().await.expect("an end").text
}

#[tokio::test(start_paused = true)]
async fn parts_that_come_again_count_once() {
    let (_chat, _server, peer, answer) = streaming().await;
    peer.part(0, 0, "one ").await;
    peer.part(0, 0, "one t\u{fc}o ").await;
    peer.part(0, 9, "three").await;
    peer.end(0, "stop", None).await;
    assert_eq!(text(&answer).await, "one t\u{fc}o three");
}

#[tokio::test(start_paused = true)]
async fn missing_part_is_asked_for() {
    let (_chat, _server, mut peer, answer) = streaming().await;
    peer.part(0, 8, "three").await;
    assert_eq!(peer.frame().await, resume("a0", 4));
    peer.part(0, 4, "two three").await;
    peer.end(0, "stop", None).await;
    assert_eq!(text(&answer).await, "one two three");
}

#[tokio::test(start_paused = true)]
async fn end_has_the_rest() {
    let (_chat, _server, peer, answer) = streaming().await;
    peer.end(0, "length", Some("one two")).await;
    let end = answer.ended().await.expect("an end");
    assert_eq!((end.text.as_str(), end.finish_reason), ("one two", FinishReason::Length));
}

#[tokio::test(start_paused = true)]
async fn failure_comes_after_the_text() {
    let (_chat, _server, peer, mut answer) = streaming().await;
    peer.fail("AGENT_TIMEOUT", json!({ "retryable": true }), Some("a0")).await;
    peer.part(0, 4, "two").await;
    peer.end(0, "error", Some("one two")).await;
    assert_eq!(answer.ended().await.expect_err("a failure").code(), &Code::AgentTimeout);
    assert_eq!(answer.next().await.expect("text").as_deref(), Some("one two"));
    assert_eq!(answer.next().await.expect_err("a failure").code(), &Code::AgentTimeout);
}

#[tokio::test(start_paused = true)]
async fn failure_without_a_reason_is_one() {
    let (_chat, _server, peer, answer) = streaming().await;
    peer.end(0, "error", Some("one ")).await;
    let error = answer.ended().await.expect_err("a failure");
    assert_eq!((error.code(), error.is_retryable()), (&Code::AgentError, true));
}

#[tokio::test(start_paused = true)]
async fn answer_goes_on_where_the_socket_was_lost() {
    let (_chat, mut server, peer, answer) = streaming().await;
    peer.close();
    let mut peer = server.accept_with(&[stream(0)]).await;
    assert_eq!(peer.frame().await, resume("a0", 4));
    peer.part(0, 4, "two").await;
    peer.end(0, "stop", None).await;
    assert_eq!(text(&answer).await, "one two");
}

#[tokio::test(start_paused = true)]
async fn silent_answer_is_asked_for_then_on_another_socket() {
    let (_chat, mut server, mut peer, _answer) = streaming().await;
    let (after, frame) = peer.timed_frame().await;
    assert_eq!(frame, resume("a0", 4));
    assert!((20 * SECOND..22 * SECOND).contains(&after), "{after:?}");
    for _ in 0..2 {
        let (after, frame) = peer.timed_frame().await;
        assert_eq!(frame, resume("a0", 4));
        assert!((5 * SECOND..7 * SECOND).contains(&after), "{after:?}");
    }
    assert!(peer.is_closed().await);
    let mut peer = server.accept_with(&[stream(0)]).await;
    assert_eq!(peer.frame().await, resume("a0", 4));
}

#[tokio::test(start_paused = true)]
async fn answer_that_never_goes_on_fails() {
    let (_chat, mut server, mut peer, answer) = streaming().await;
    let start = tokio::time::Instant::now();
    let sockets = tokio::spawn(async move {
        loop {
            peer.is_closed().await;
            peer = server.accept().await;
        }
    });
    assert_eq!(answer.ended().await.expect_err("a failure").code(), &Code::NoResponse);
    assert!(start.elapsed() >= MESSAGE_TIMEOUT);
    sockets.abort();
}

#[tokio::test(start_paused = true)]
async fn answer_that_the_server_does_not_know_fails() {
    let (_chat, mut server, peer, answer) = streaming().await;
    peer.close();
    let mut peer = server.accept().await;
    peer.frame().await;
    peer.fail("MESSAGE_NOT_FOUND", json!({ "retryable": false, "message_id": "a0" }), None).await;
    assert_eq!(answer.ended().await.expect_err("a failure").code(), &Code::MessageNotFound);
}

#[tokio::test(start_paused = true)]
async fn refused_resume_is_sent_again() {
    let (_chat, mut server, peer, _answer) = streaming().await;
    peer.close();
    let mut peer = server.accept_with(&[stream(0)]).await;
    peer.frame().await;
    let details = json!({ "retryable": true, "retry_after_seconds": 2, "message_id": "a0" });
    peer.fail("RATE_LIMIT_EXCEEDED", details, None).await;
    let (after, frame) = peer.timed_frame().await;
    assert_eq!(frame, resume("a0", 4));
    assert!((2 * SECOND..4 * SECOND).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn answer_that_streamed_before_is_read_from_its_beginning() {
    let (chat, mut server) = Server::with_source(false);
    let mut updates = chat.updates();
    let mut peer = server.accept_with(&[stream(7)]).await;
    assert_eq!(peer.frame().await, resume("a7", 0));
    let answer = loop {
        if let Update::Answer(answer) = updates.next().await.expect("an update") {
            break answer;
        }
    };
    peer.part(7, 0, "Hi").await;
    peer.end(7, "stop", None).await;
    assert_eq!(text(&answer).await, "Hi");
    assert!(answer.received().await.expect("it has started").is_none());
}

#[tokio::test(start_paused = true)]
async fn cancel_ends_an_answer() {
    let (_chat, _server, mut peer, answer) = streaming().await;
    answer.cancel();
    assert_eq!(peer.frame().await, cancel("a0"));
    peer.end(0, "cancelled", Some("one ")).await;
    assert_eq!(answer.ended().await.expect("an end").finish_reason, FinishReason::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn cancel_is_sent_again_on_the_next_socket() {
    let (_chat, mut server, mut peer, answer) = streaming().await;
    answer.cancel();
    peer.frame().await;
    peer.close();
    let mut peer = server.accept_with(&[stream(0)]).await;
    assert_eq!([peer.frame().await, peer.frame().await], [resume("a0", 4), cancel("a0")]);
}

#[tokio::test(start_paused = true)]
async fn cancel_before_the_start_is_sent_at_the_start() {
    let (chat, _server, mut peer) = Server::chat().await;
    let answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    answer.cancel();
    peer.receive(0, &id).await;
    assert!(peer.is_silent(SECOND).await);
    peer.start(0).await;
    assert_eq!(peer.frame().await, cancel("a0"));
}

#[tokio::test(start_paused = true)]
async fn cancel_of_a_message_that_waits_takes_it_back() {
    let (chat, mut server) = Server::with_source(false);
    let answer = chat.send("Hello");
    answer.cancel();
    let end = answer.ended().await.expect("an end");
    assert_eq!((end.finish_reason, end.usage), (FinishReason::Cancelled, None));
    assert_eq!(answer.received().await.expect_err("it was not sent").code(), &Code::Closed);
    let mut peer = server.accept().await;
    assert!(peer.is_silent(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn cancel_of_a_refused_message_takes_it_back() {
    let (chat, _server, mut peer) = Server::chat().await;
    let answer = chat.send("Hello");
    peer.message().await;
    peer.fail("GENERATION_IN_PROGRESS", json!({ "retryable": true, "retry_after_seconds": 1 }), None).await;
    tokio::task::yield_now().await;
    answer.cancel();
    assert_eq!(answer.ended().await.expect("an end").finish_reason, FinishReason::Cancelled);
    assert!(peer.is_silent(100 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn regeneration_is_acknowledged_by_its_start() {
    let (chat, _server, mut peer) = Server::chat().await;
    let answer = chat.regenerate("a0");
    assert_eq!(peer.frame().await, Frame::Regenerate { message_id: "a0".to_owned() });
    peer.send(json!({
        "type": "message_stream_started", "message_id": "a1", "seq": 1, "in_reply_to": "m0", "model": "echo",
        "replaces": "a0",
    }))
    .await;
    peer.part(1, 0, "Again").await;
    peer.end(1, "stop", None).await;
    assert_eq!(text(&answer).await, "Again");
    assert_eq!((answer.replaces().as_deref(), answer.message_id().as_deref()), (Some("a0"), Some("a1")));
    assert!(peer.is_silent(100 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn regeneration_that_started_on_a_lost_socket_is_resumed() {
    let (chat, mut server, mut peer) = Server::chat().await;
    let answer = chat.regenerate("a0");
    peer.frame().await;
    peer.close();
    let mut running = stream(1);
    running.replaces = Some("a0".to_owned());
    let mut peer = server.accept_with(&[running]).await;
    assert_eq!(peer.frame().await, resume("a1", 0));
    peer.end(1, "stop", Some("Again")).await;
    assert_eq!(text(&answer).await, "Again");
}

#[tokio::test(start_paused = true)]
async fn refused_regeneration_is_an_error() {
    let (chat, _server, mut peer) = Server::chat().await;
    let answer = chat.regenerate("a0");
    peer.frame().await;
    peer.fail("MESSAGE_NOT_FOUND", json!({ "retryable": false, "message_id": "a0" }), None).await;
    assert_eq!(answer.ended().await.expect_err("a refusal").code(), &Code::MessageNotFound);
}

#[tokio::test(start_paused = true)]
async fn end_without_content_waits_for_missing_text() {
    let (_chat, _server, mut peer, answer) = streaming().await;
    for offset in [8, 13] {
        peer.part(0, offset, "three").await;
    }
    assert_eq!(peer.frame().await, resume("a0", 4));
    assert!(peer.is_silent(SECOND).await, "once for both parts");
    peer.end(0, "stop", None).await;
    assert_eq!(peer.frame().await, resume("a0", 4));
    peer.part(0, 4, "two threethree").await;
    peer.end(0, "stop", None).await;
    assert_eq!(text(&answer).await, "one two threethree");
}

#[tokio::test(start_paused = true)]
async fn end_for_an_unknown_reason_is_one() {
    let (_chat, _server, peer, answer) = streaming().await;
    peer.end(0, "filtered", Some("one two")).await;
    let end = answer.ended().await.expect("an end");
    assert_eq!((end.text.as_str(), end.finish_reason), ("one two", FinishReason::Unknown));
}
