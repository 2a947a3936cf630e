//! Connections: another one when one is lost, dead or old; an end with a reason.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::server::{GIVE_UP_AFTER, Server, error, resume, stream};
use crate::{Chat, ChatError, Code, Event, Frame, Source, State, Timeouts, Update};

const SECOND: Duration = Duration::from_secs(1);

fn refused(status: u16) -> ChatError {
    ChatError::new(Code::ConnectionFailed, "Refused.", "").retryable().with_status(status)
}

#[tokio::test(start_paused = true)]
async fn lost_socket_is_replaced_at_once() {
    let (chat, mut server, peer) = Server::chat().await;
    peer.send(json!({ "type": "pong" })).await;
    let start = Instant::now();
    peer.close();
    let attempt = server.attempt().await;
    assert!(start.elapsed() <= SECOND / 3, "{:?}", start.elapsed());
    assert_eq!(chat.state(), State::Reconnecting);
    drop(attempt);
}

#[tokio::test(start_paused = true)]
async fn sockets_that_bring_nothing_come_more_slowly() {
    let (_chat, mut server, mut peer) = Server::chat().await;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let start = Instant::now();
        peer.close();
        peer = server.accept().await;
        pauses.push(start.elapsed());
    }
    assert!(pauses[5] >= 5 * SECOND && pauses[5] <= 10 * SECOND, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn idle_socket_is_pinged_and_a_dead_one_replaced() {
    let (_chat, mut server, mut peer) = Server::chat().await;
    let (after, frame) = peer.timed_frame().await;
    assert_eq!((frame, after.as_secs()), (Frame::Ping, 240));
    peer.send(json!({ "type": "pong" })).await;
    let (after, frame) = peer.timed_frame().await;
    assert_eq!((frame, after.as_secs()), (Frame::Ping, 240));
    let start = Instant::now();
    assert!(peer.is_closed().await);
    assert_eq!(start.elapsed().as_secs(), 10);
    server.accept().await;
}

#[tokio::test(start_paused = true)]
async fn socket_is_renewed_before_its_end() {
    let (chat, mut server) = Server::with_source(false);
    let mut peer = server.accept_for("2026-11-23T05:02:10Z", &[]).await;
    let start = Instant::now();
    let answer = chat.send("Hello");
    let (_, id) = peer.message().await;
    peer.receive(0, &id).await;
    peer.start(0).await;
    peer.part(0, 0, "one ").await;
    let renewal = tokio::spawn(async move { (server.accept_with(&[stream(0)]).await, server) });
    // The old socket serves until the new one is open.
    for n in 1..30 {
        tokio::time::sleep(5 * SECOND).await;
        if renewal.is_finished() {
            break;
        }
        peer.part(0, 4 * n, "one ").await;
    }
    let (mut next, _server) = renewal.await.expect("a renewal");
    assert!((120 * SECOND..=180 * SECOND + SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(peer.is_closed().await);
    let text = answer.text();
    assert_eq!(next.frame().await, resume("a0", text.len()));
    assert_eq!(chat.state(), State::Open);
    next.end(0, "stop", Some(&format!("{text}two"))).await;
    assert_eq!(answer.ended().await.expect("an end").text, format!("{text}two"));
}

#[tokio::test(start_paused = true)]
async fn failed_renewal_keeps_the_socket() {
    let (chat, mut server) = Server::with_source(false);
    let mut peer = server.accept_for("2026-11-23T05:02:10Z", &[]).await;
    server.refuse(refused(500)).await;
    assert!(peer.is_silent(SECOND).await);
    assert_eq!(chat.state(), State::Open);
    peer.close();
    server.accept().await;
}

#[tokio::test(start_paused = true)]
async fn chat_fails_after_two_minutes_without_a_connection() {
    let (chat, mut server) = Server::with_source(false);
    let answer = chat.send("Hello");
    let refuses = tokio::spawn(async move {
        // The chat's end ends this.
        loop {
            server.refuse(refused(500)).await;
        }
    });
    let start = Instant::now();
    assert_eq!(chat.opened().await.expect_err("no connection").code(), &Code::ConnectionFailed);
    assert_eq!(answer.ended().await.expect_err("no connection").code(), &Code::ConnectionFailed);
    assert!((GIVE_UP_AFTER..GIVE_UP_AFTER + SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(chat.state(), State::Closed);
    refuses.await.expect_err("the chat does not try again");
}

#[tokio::test(start_paused = true)]
async fn failed_attempt_is_reported() {
    let (chat, mut server) = Server::with_source(false);
    let mut updates = chat.updates();
    server.refuse(refused(503)).await;
    let Some(Update::State(State::Connecting, Some(error))) = updates.next().await else { panic!("no report") };
    assert_eq!(error.status(), Some(503));
    let _peer = server.accept().await;
    chat.opened().await.expect("a connection");
}

#[tokio::test(start_paused = true)]
async fn server_says_when_to_come_back() {
    let (_chat, mut server) = Server::with_source(false);
    server.refuse(refused(429).with_retry_after(Some(42))).await;
    let start = Instant::now();
    server.accept().await;
    assert_eq!(start.elapsed().as_secs(), 42);
}

#[tokio::test(start_paused = true)]
async fn refused_key_is_final_and_a_refused_ticket_is_not() {
    let (chat, mut server) = Server::with_source(true);
    server.refuse(refused(401)).await;
    assert_eq!(chat.opened().await.expect_err("a refusal").status(), Some(401));
    let (chat, mut server) = Server::with_source(false);
    server.refuse(refused(401)).await;
    let _peer = server.accept().await;
    chat.opened().await.expect("a connection");
}

#[tokio::test(start_paused = true)]
async fn final_error_of_a_ticket_closes_the_chat() {
    let (chat, mut server) = Server::with_source(false);
    server.refuse(ChatError::new(Code::BadResponse, "No event.", "Check the address.")).await;
    assert_eq!(chat.opened().await.expect_err("another server").code(), &Code::BadResponse);
    assert_eq!(chat.send("Hello").ended().await.expect_err("it is closed").code(), &Code::Closed);
}

#[tokio::test(start_paused = true)]
async fn deleted_chat_and_ended_access_close_it() {
    for code in ["CHAT_NOT_FOUND", "CONNECTION_CLOSING"] {
        let (chat, mut server, mut peer) = Server::chat().await;
        let mut updates = chat.updates();
        let answer = chat.send("Hello");
        peer.message().await;
        peer.fail(code, json!({ "retryable": false }), None).await;
        let reason = answer.ended().await.expect_err("the chat is closed");
        assert_eq!(reason.code().to_string(), code);
        let mut last = None;
        while let Some(update) = updates.next().await {
            last = Some(update);
        }
        assert!(matches!(last, Some(Update::State(State::Closed, Some(error))) if error.code() == reason.code()));
        assert!(peer.is_closed().await);
        assert!(server.is_left_alone(100 * SECOND).await);
    }
}

#[tokio::test(start_paused = true)]
async fn close_ends_all() {
    let (chat, mut server, mut peer) = Server::chat().await;
    let mut answer = chat.send("Hello");
    peer.message().await;
    chat.close();
    assert_eq!(answer.next().await.expect_err("it is closed").code(), &Code::Closed);
    assert_eq!(chat.opened().await.expect_err("it is closed").code(), &Code::Closed);
    assert_eq!(chat.send("Hello").received().await.expect_err("it is closed").code(), &Code::Closed);
    assert!(chat.updates().next().await.is_none());
    assert!(peer.is_closed().await);
    assert!(server.is_left_alone(100 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn dropped_chat_is_closed() {
    let (chat, _server, mut peer) = Server::chat().await;
    let answer = chat.send("Hello");
    peer.message().await;
    drop(chat);
    assert_eq!(answer.ended().await.expect_err("it is closed").code(), &Code::Closed);
    assert!(answer.has_ended());
    assert!(peer.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn event_of_an_unknown_type_is_reported() {
    let (chat, _server, peer) = Server::chat().await;
    let mut updates = chat.updates();
    peer.send(json!({ "type": "unknown", "more": 1 })).await;
    let fields = loop {
        if let Update::Event(Event::Unknown(fields)) = updates.next().await.expect("an update") {
            break fields;
        }
    };
    assert_eq!(fields["more"], 1);
    assert_eq!(chat.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn error_before_the_first_event_is_tried_again() {
    let (chat, mut server) = Server::with_source(false);
    server.refuse(error("UNAVAILABLE", json!({ "retryable": true, "retry_after_seconds": 5 }))).await;
    let _peer = server.accept().await;
    chat.opened().await.expect("a connection");
}

#[tokio::test(start_paused = true)]
async fn server_cannot_ask_for_a_storm() {
    let start = Instant::now();
    let (_chat, mut server) = Server::with_source(false);
    let mut peers = Vec::new();
    for _ in 0..10 {
        peers.push(server.accept_for("2026-11-23T04:58:11Z", &[]).await);
    }
    assert!(start.elapsed() >= 60 * SECOND, "{:?}", start.elapsed());
    let start = Instant::now();
    let (_chat, mut server) = Server::with_source(false);
    for _ in 0..10 {
        server.refuse(refused(503).with_retry_after(Some(0))).await;
    }
    assert!(start.elapsed() >= 20 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn panic_of_the_app_ends_the_chat() {
    let fetch = async || -> Result<String, ChatError> { panic!("a bug of the app") };
    let chat = Chat::connect(Source::tickets(fetch));
    let mut updates = chat.updates();
    assert_eq!(chat.opened().await.expect_err("it has ended").code(), &Code::Closed);
    assert!(updates.next().await.is_none());
    assert_eq!(chat.send("Hello").ended().await.expect_err("it has ended").code(), &Code::Closed);
}

#[tokio::test(start_paused = true)]
async fn longest_timeouts_are_no_panic() {
    let (message, connect, give_up) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let source = Source::tickets(std::future::pending::<Result<String, ChatError>>);
    let chat = Chat::connect_within(source, Timeouts { connect, give_up, message });
    let answer = chat.send("Hello");
    answer.cancel();
    answer.ended().await.expect("an end");
}
