use std::time::Duration;

use tokio::time::Instant;

use super::fakes::Fixture;
use crate::{
    domain::{
        generation::FinishedGeneration,
        id::{ConnectionId, MessageId},
        message::{FinishReason, Message, Role, Status},
        time::Timestamp,
    },
    generation::{
        replay::{fan_out, replay_timings},
        socket_writer::JoinAt,
    },
};

/// Replays an answer of this text to a socket each of whose posts takes this time. Returns how long that took, and the
/// types of the posts.
async fn replay_to(delay: Duration, content: &str) -> (Duration, Vec<String>) {
    let fixture = Fixture::new(&["a"]);
    fixture.sockets.delays.lock().expect("no panic").insert(ConnectionId::from_gateway("a"), delay);
    let connection = fixture.sockets.connections.lock().expect("no panic")[0].clone();
    let now = Timestamp::now();
    let message = Message {
        message_id: MessageId::at(1),
        chat_id: connection.grant.chat_id.clone(),
        role: Role::Assistant,
        content: content.to_owned(),
        status: Status::Complete,
        seq: 1,
        created_at: now,
        completed_at: Some(now),
        in_reply_to: Some(MessageId::at(0)),
        client_message_id: None,
        finish_reason: Some(FinishReason::Stop),
        usage: None,
    };
    let generation = FinishedGeneration { message, replaces: None, model: "test".to_owned(), first_token_ms: None };
    let chat = (&connection.grant.tenant_id, &connection.grant.chat_id);
    let fan_out = fan_out(fixture.sockets.clone(), chat, generation, "r", replay_timings()).expect("it has finished");
    let started = Instant::now();
    fan_out.add(connection.clone(), JoinAt::Offset(0));
    fan_out.finish().await;
    let types = fixture.posts("a").into_iter().map(|post| post.event["type"].as_str().expect("a type").to_owned());
    (started.elapsed(), types.collect())
}

#[tokio::test(start_paused = true)]
async fn replay_waits_a_second_for_a_client_that_does_not_read() {
    let (took, posts) = replay_to(Duration::from_secs(3), "Hello").await;
    assert_eq!((took, posts), (Duration::from_secs(1), vec!["message_stream_started".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn slow_client_gets_the_whole_replay() {
    let (took, posts) = replay_to(Duration::from_millis(900), &"x".repeat(60_000)).await;
    // Three frames of 28 KiB at most, between the start and the end.
    assert_eq!((took, posts.len()), (Duration::from_millis(5 * 900), 5));
    assert_eq!(posts.last().map(String::as_str), Some("message_stream_ended"));
}
