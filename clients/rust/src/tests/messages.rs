//! Messages: stored once, in order, or refused with a reason.

use std::time::Duration;

use serde_json::json;

use super::server::{Server, resume, stream};
use crate::{Answer, Chat, Code, Frame, Update, event::FinishReason};

const SECOND: Duration = Duration::from_secs(1);

/// A chat whose socket was lost between the acknowledgement of `m0` and its answer; the answer, and the client's id of the
/// message.
async fn stored_on_a_lost_socket() -> (Chat, Server, Answer, String) {
    let (chat, server, mut peer) = Server::chat().await;
    let answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    peer.receive(0, &id).await;
    answer.received().await.expect("stored");
    peer.close();
    (chat, server, answer, id)
}

#[tokio::test(start_paused = true)]
async fn message_is_stored_and_answered() {
    let (chat, _server, mut peer) = Server::chat().await;
    let mut answer = chat.send("Hello");
    let (content, id) = peer.message().await;
    assert_eq!(content, "Hello");
    peer.receive(0, &id).await;
    assert_eq!(answer.received().await.expect("stored").expect("a message").message_id, "m0");
    peer.start(0).await;
    peer.part(0, 0, "Hi ").await;
    assert_eq!(answer.next().await.expect("text").as_deref(), Some("Hi "));
    peer.part(0, 3, "there").await;
    peer.end(0, "stop", Some("Hi there")).await;
    let end = answer.ended().await.expect("an end");
    assert_eq!((end.text.as_str(), end.finish_reason), ("Hi there", FinishReason::Stop));
    assert_eq!(end.usage.expect("usage").output_tokens, 2);
    assert_eq!(answer.next().await.expect("text").as_deref(), Some("there"));
    assert_eq!(answer.next().await.expect("the end"), None);
    assert_eq!(
        (answer.message_id().as_deref(), answer.seq(), answer.model().as_deref()),
        (Some("a0"), Some(1), Some("echo"))
    );
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_the_one_before() {
    let (chat, _server, mut peer) = Server::chat().await;
    let (_first, _second) = (chat.send("1"), chat.send("2"));
    let (content, id) = peer.message().await;
    assert_eq!(content, "1");
    assert!(peer.is_silent(5 * SECOND).await);
    peer.receive(0, &id).await;
    assert_eq!(peer.message().await.0, "2");
}

#[tokio::test(start_paused = true)]
async fn message_without_response_is_sent_again_then_on_another_socket() {
    let (chat, mut server, mut peer) = Server::chat().await;
    let _answer = chat.send("Hello");
    let first = peer.message().await;
    let (after, again) = peer.timed_frame().await;
    assert!((10 * SECOND..12 * SECOND).contains(&after), "{after:?}");
    assert_eq!(again, Frame::Message { content: first.0.clone(), client_message_id: first.1.clone() });
    assert!(peer.is_closed().await);
    let mut peer = server.accept().await;
    assert_eq!(peer.message().await, first);
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_a_connection() {
    let (chat, mut server) = Server::with_source(false);
    let _answer = chat.send("Hello");
    let mut peer = server.accept().await;
    let first = peer.message().await;
    peer.close();
    let mut peer = server.accept().await;
    assert_eq!(peer.message().await, first);
}

#[tokio::test(start_paused = true)]
async fn repeated_acknowledgement_names_the_answer() {
    let (_chat, mut server, answer, id) = stored_on_a_lost_socket().await;
    // Its answer is not listed: it may have ended.
    let mut peer = server.accept().await;
    assert_eq!(peer.message().await.1, id);
    peer.receive_again(0, &id, Some("a0")).await;
    assert_eq!(peer.frame().await, resume("a0", 0));
    peer.end(0, "stop", Some("Hi")).await;
    assert_eq!(answer.ended().await.expect("an end").text, "Hi");
}

#[tokio::test(start_paused = true)]
async fn answer_that_started_meanwhile_is_resumed() {
    let (_chat, mut server, answer, _) = stored_on_a_lost_socket().await;
    let mut peer = server.accept_with(&[stream(0)]).await;
    assert_eq!(peer.frame().await, resume("a0", 0));
    peer.end(0, "stop", Some("Hi")).await;
    assert_eq!(answer.ended().await.expect("an end").text, "Hi");
}

#[tokio::test(start_paused = true)]
async fn acknowledged_message_without_answer_is_sent_again() {
    let (chat, _server, mut peer) = Server::chat().await;
    let _answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    peer.receive(0, &id).await;
    let (after, frame) = peer.timed_frame().await;
    assert!((20 * SECOND..22 * SECOND).contains(&after), "{after:?}");
    assert!(matches!(frame, Frame::Message { client_message_id, .. } if client_message_id == id));
}

#[tokio::test(start_paused = true)]
async fn limit_that_lasts_is_waited_for() {
    let (chat, _server, mut peer) = Server::chat().await;
    let mut updates = chat.updates();
    let answer = chat.send("Hello");
    let first = peer.message().await;
    peer.fail("MESSAGE_RATE_EXCEEDED", json!({ "retryable": true, "retry_after_seconds": 30 }), None).await;
    let (after, _) = peer.timed_frame().await;
    assert!((30 * SECOND..32 * SECOND).contains(&after), "{after:?}");
    let waits = loop {
        if let Update::Retry { after, .. } = updates.next().await.expect("an update") {
            break after;
        }
    };
    assert_eq!(waits, 30 * SECOND);
    peer.receive(0, &first.1).await;
    assert!(answer.received().await.expect("stored").is_some());
}

#[tokio::test(start_paused = true)]
async fn limit_of_an_hour_is_an_error() {
    let (chat, _server, mut peer) = Server::chat().await;
    let (answer, _next) = (chat.send("1"), chat.send("2"));
    peer.message().await;
    peer.fail("QUOTA_EXCEEDED", json!({ "retryable": true, "retry_after_seconds": 3600 }), None).await;
    let error = answer.ended().await.expect_err("a refusal");
    assert_eq!((error.code(), error.retry_after()), (&Code::QuotaExceeded, Some(3600 * SECOND)));
    assert_eq!(peer.message().await.0, "2");
}

#[tokio::test(start_paused = true)]
async fn refused_message_is_an_error_and_the_next_is_sent() {
    let (chat, _server, mut peer) = Server::chat().await;
    let (answer, _next) = (chat.send("1"), chat.send("2"));
    peer.message().await;
    peer.fail("INVALID_PARAMETER", json!({ "retryable": false, "suggestion": "Send a text." }), None).await;
    let error = answer.received().await.expect_err("a refusal");
    assert_eq!(
        (error.code(), error.suggestion(), error.request_id()),
        (&Code::InvalidParameter, "Send a text.", Some("r"))
    );
    assert_eq!(peer.message().await.0, "2");
}

#[tokio::test(start_paused = true)]
async fn large_message_is_not_sent() {
    let (chat, _server, mut peer) = Server::chat().await;
    let error = chat.send(&"x".repeat(28 * 1024)).ended().await.expect_err("too large");
    assert_eq!(error.code(), &Code::MessageTooLarge);
    assert!(peer.is_silent(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn message_that_is_never_acknowledged_fails() {
    let (chat, mut server) = Server::with_source(false);
    let answer = chat.send("Hello");
    let accept = tokio::spawn(async move {
        let mut peers = Vec::new();
        loop {
            let peer = server.accept().await;
            peer.send(json!({ "type": "unknown" })).await;
            peers.push(peer);
        }
    });
    let error = answer.ended().await.expect_err("no response");
    assert_eq!((error.code(), error.is_retryable()), (&Code::NoResponse, true));
    accept.abort();
}

#[tokio::test(start_paused = true)]
async fn same_id_is_the_same_answer() {
    let (chat, _server, mut peer) = Server::chat().await;
    let (first, second) = (chat.send_as("id", "Hello"), chat.send_as("id", "Hello"));
    assert_eq!(peer.message().await.1, "id");
    peer.receive(0, "id").await;
    peer.start(0).await;
    peer.end(0, "stop", Some("Hi")).await;
    assert_eq!(first.ended().await.expect("an end"), second.ended().await.expect("an end"));
    assert!(peer.is_silent(100 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn message_and_answer_of_another_socket_are_reported() {
    let (chat, _server, mut peer) = Server::chat().await;
    let mut updates = chat.updates();
    peer.receive(0, "of another tab").await;
    peer.start(0).await;
    peer.part(0, 0, "Hi").await;
    let (mut message, mut answer) = (None, None);
    while message.is_none() || answer.is_none() {
        match updates.next().await.expect("an update") {
            Update::Message(received) => message = Some(received),
            Update::Answer(started) => answer = Some(started),
            _ => {}
        }
    }
    assert_eq!(message.expect("a message").message_id, "m0");
    assert_eq!(answer.expect("an answer").next().await.expect("text").as_deref(), Some("Hi"));
    assert!(peer.is_silent(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn answer_before_the_acknowledgement_is_of_this_message() {
    let (chat, _server, mut peer) = Server::chat().await;
    let mut updates = chat.updates();
    let answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    peer.start(0).await;
    peer.part(0, 0, "Hi").await;
    peer.receive(0, &id).await;
    peer.end(0, "stop", None).await;
    assert_eq!(answer.ended().await.expect("an end").text, "Hi");
    drop(chat);
    while let Some(update) = updates.next().await {
        assert!(!matches!(update, Update::Answer(_)), "it was asked for here");
    }
}

#[tokio::test(start_paused = true)]
async fn message_of_a_process_before_gets_the_answer_that_streams() {
    let (chat, mut server) = Server::with_source(false);
    let mut peer = server.accept_with(&[stream(0)]).await;
    assert_eq!(peer.frame().await, resume("a0", 0));
    peer.part(0, 0, "one ").await;
    let mut answer = chat.send_as("id", "Hello");
    assert_eq!(peer.message().await.1, "id");
    peer.receive_again(0, "id", Some("a0")).await;
    assert_eq!(answer.next().await.expect("text").as_deref(), Some("one "));
    peer.part(0, 4, "two").await;
    peer.end(0, "stop", None).await;
    assert_eq!(answer.ended().await.expect("an end").text, "one two");
    assert_eq!(answer.message_id().as_deref(), Some("a0"));
}

#[tokio::test(start_paused = true)]
async fn message_that_is_sent_again_waits_for_the_one_on_its_way() {
    let (chat, _server, mut peer) = Server::chat().await;
    let first = chat.send("1");
    let (_, first_id) = peer.message().await;
    peer.receive(0, &first_id).await;
    first.received().await.expect("stored");
    tokio::time::sleep(19 * SECOND).await;
    let second = chat.send("2");
    assert_eq!(peer.message().await.0, "2");
    // Now the answer to the first one is late.
    tokio::time::sleep(3 * SECOND).await;
    peer.fail("QUOTA_EXCEEDED", json!({ "retryable": false }), None).await;
    assert_eq!(second.ended().await.expect_err("a refusal").code(), &Code::QuotaExceeded);
    assert_eq!(peer.message().await.1, first_id);
    peer.receive_again(0, &first_id, Some("a0")).await;
    assert_eq!(peer.frame().await, resume("a0", 0));
    peer.end(0, "stop", Some("Hi")).await;
    assert_eq!(first.ended().await.expect("an end").text, "Hi");
}

#[tokio::test(start_paused = true)]
async fn stored_message_keeps_its_answer_when_it_is_refused_again() {
    let (chat, mut server, answer, id) = stored_on_a_lost_socket().await;
    let mut updates = chat.updates();
    let mut peer = server.accept().await;
    peer.message().await;
    peer.fail("RATE_LIMIT_EXCEEDED", json!({ "retryable": true, "retry_after_seconds": 5 }), None).await;
    peer.start(0).await;
    peer.part(0, 0, "Hi").await;
    assert_eq!(peer.message().await.1, id);
    peer.receive_again(0, &id, Some("a0")).await;
    peer.end(0, "stop", None).await;
    assert_eq!(answer.ended().await.expect("an end").text, "Hi");
    drop(chat);
    while let Some(update) = updates.next().await {
        assert!(!matches!(update, Update::Answer(_)), "it was asked for here");
    }
}

#[tokio::test(start_paused = true)]
async fn second_acknowledgement_is_not_of_another_socket() {
    let (chat, _server, mut peer) = Server::chat().await;
    let mut updates = chat.updates();
    let answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    peer.receive(0, &id).await;
    peer.receive(0, &id).await;
    peer.start(0).await;
    peer.end(0, "stop", Some("Hi")).await;
    answer.ended().await.expect("an end");
    drop(chat);
    while let Some(update) = updates.next().await {
        assert!(!matches!(update, Update::Message(_)), "it was sent here");
    }
}

#[tokio::test(start_paused = true)]
async fn answer_of_another_socket_is_reported_while_a_message_waits() {
    let (chat, _server, mut peer) = Server::chat().await;
    let mut updates = chat.updates();
    let _answer = chat.send("Hello");
    peer.message().await;
    peer.start(0).await;
    peer.fail("MESSAGE_RATE_EXCEEDED", json!({ "retryable": true, "retry_after_seconds": 50 }), None).await;
    let start = tokio::time::Instant::now();
    while !matches!(updates.next().await, Some(Update::Answer(_))) {}
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}
