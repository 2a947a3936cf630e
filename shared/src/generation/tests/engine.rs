use std::time::Duration;

use tokio::time::sleep;

use super::fakes::{Fixture, LEASE, Post, agent, steady_agent};
use crate::{
    domain::{
        id::ConnectionId,
        message::{FinishReason, Status},
        time::Timestamp,
    },
    storage::ResumeCommand,
};

const LEASE_MS: u64 = LEASE.as_millis() as u64;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(posts: &[Post]) -> Vec<u64> {
    posts.iter().map(|post| post.at).collect()
}

#[tokio::test(start_paused = true)]
async fn first_token_leaves_at_once_and_later_ones_after_the_coalescing_interval() {
    let fixture = Fixture::new(&["a"]);
    let times = [1_000, 1_001, 1_030, 1_039, 1_500, 1_510];
    fixture.generate(agent(times.map(|at| (at, format!("{at} "))))).await;
    assert_eq!(at(&fixture.tokens("a")), [1_000, 1_040, 1_500, 1_540]);
    assert_eq!(fixture.text("a"), "1000 1001 1030 1039 1500 1510 ");
}

#[tokio::test(start_paused = true)]
async fn first_ten_frames_are_40_ms_apart_and_later_ones_100_ms() {
    let fixture = Fixture::new(&["a"]);
    fixture.generate(steady_agent(1, 4_000)).await;
    let frames = at(&fixture.tokens("a"));
    let pauses: Vec<u64> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[..9].iter().all(|pause| (40..=41).contains(pause)), "{pauses:?}");
    assert!(pauses[9..pauses.len() - 1].iter().all(|pause| (100..=101).contains(pause)), "{pauses:?}");
    let (_, outcome) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert_eq!(fixture.text("a"), outcome.content);
}

#[tokio::test(start_paused = true)]
async fn frames_are_fewer_while_other_generations_run_in_the_chat_and_after_a_refused_post() {
    let slow = async |generations: u32, refuses_posts: bool| {
        let fixture = Fixture::new(&["a"]);
        fixture.store.stored().generations = generations;
        *fixture.sockets.refuses_posts.lock().expect("no panic") = refuses_posts;
        fixture.generate(steady_agent(1, 4_000)).await;
        let frames = at(&fixture.tokens("a"));
        frames[frames.len() - 2] - frames[frames.len() - 3]
    };
    assert!((400..=401).contains(&slow(4, false).await));
    assert!((200..=201).contains(&slow(1, true).await));
}

#[tokio::test(start_paused = true)]
async fn slow_socket_gets_fewer_frames_and_does_not_slow_the_others() {
    let fixture = Fixture::new(&["slow", "fast"]);
    fixture.sockets.delays.lock().expect("no panic").insert(ConnectionId::from_gateway("slow"), millis(700));
    fixture.generate(steady_agent(10, 3_000)).await;
    assert_eq!(fixture.text("slow"), fixture.text("fast"));
    assert!((3_000..3_100).contains(&fixture.end("fast").expect("an end").at));
    assert!(fixture.tokens("fast").len() > 30, "{}", fixture.tokens("fast").len());
    let slow = at(&fixture.posts("slow"));
    assert!(slow.windows(2).all(|pair| pair[1] - pair[0] >= 700), "one post at a time: {slow:?}");
}

#[tokio::test(start_paused = true)]
async fn text_is_saved_every_second() {
    let fixture = Fixture::new(&["a"]);
    fixture.generate(steady_agent(100, 3_550)).await;
    let stored = fixture.store.stored();
    assert_eq!(stored.chunks.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1_000, 2_000, 3_000]);
    let (_, outcome) = stored.outcome.clone().expect("an outcome");
    let saved: String = stored.chunks.iter().map(|(_, text)| text.as_str()).collect();
    assert!(outcome.content.starts_with(&saved) && outcome.content.len() > saved.len());
    assert_eq!((outcome.status, outcome.finish_reason), (Status::Complete, FinishReason::Stop));
}

#[tokio::test(start_paused = true)]
async fn lease_is_renewed_every_five_seconds_without_tokens() {
    let fixture = Fixture::new(&["a"]);
    fixture.generate(agent([(18_000, "at last".to_owned())])).await;
    assert_eq!(fixture.store.stored().renewed_at, [5_000, 10_000, 15_000]);
    assert_eq!(fixture.text("a"), "at last");
    assert!(fixture.end("a").is_some());
}

#[tokio::test(start_paused = true)]
async fn lost_lease_ends_all_posts() {
    let fixture = Fixture::new(&["a", "b"]);
    let takeover = async {
        sleep(millis(2_500)).await;
        fixture.store.stored().is_taken_over = true;
    };
    tokio::join!(fixture.generate(steady_agent(10, 60_000)), takeover);
    assert!(fixture.store.stored().outcome.is_none());
    for socket in ["a", "b"] {
        let last = fixture.posts(socket).pop().expect("posts");
        assert_eq!(last.event["type"], "message_stream_token");
        assert!((2_900..=3_000).contains(&last.at), "until the next save: {}", last.at);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_posted_after_the_lease_has_expired_while_storage_is_down() {
    let fixture = Fixture::new(&["a"]);
    let outage = async {
        sleep(millis(2_500)).await;
        // The call that is in flight when the lease expires fails later.
        fixture.store.stored().outage_delay = millis(3_000);
        fixture.store.stored().is_down = true;
    };
    tokio::join!(fixture.generate(steady_agent(10, 60_000)), outage);
    let last = fixture.posts("a").pop().expect("posts");
    let expired_at = 2_000 + LEASE_MS;
    assert!((expired_at - 100..expired_at).contains(&last.at), "{}", last.at);
    assert_eq!(last.event["type"], "message_stream_token");
    assert!(fixture.store.stored().outcome.is_none());
}

#[tokio::test(start_paused = true)]
async fn tokens_wait_while_the_lease_is_expired_until_it_is_renewed() {
    let fixture = Fixture::new(&["a"]);
    let expiry = async {
        sleep(millis(1_050)).await;
        fixture.store.stored().expires_at = Some(Timestamp::from_millis(0));
    };
    let tokens = [(1_100, "waits ".to_owned()), (5_000, "for the save".to_owned())];
    tokio::join!(fixture.generate(agent(tokens)), expiry);
    let frames = at(&fixture.tokens("a"));
    assert!((2_000..=2_200).contains(&frames[0]), "the save after 2 s renews the lease: {frames:?}");
    assert_eq!(fixture.text("a"), "waits for the save");
}

#[tokio::test(start_paused = true)]
async fn outcome_is_stored_once_storage_is_back() {
    let fixture = Fixture::new(&["a"]);
    let outage = async {
        sleep(millis(1_500)).await;
        fixture.store.stored().is_down = true;
        sleep(millis(2_900)).await;
        fixture.store.stored().is_down = false;
    };
    tokio::join!(fixture.generate(steady_agent(100, 2_000)), outage);
    let (stored_at, _) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert_eq!(stored_at, 4_500, "an attempt every 500 ms");
    assert_eq!(fixture.store.stored().attempts_to_finish, 6);
    assert!(fixture.end("a").expect("an end").at >= stored_at, "the end follows the write");
}

#[tokio::test(start_paused = true)]
async fn cancel_ends_the_generation_within_a_poll() {
    let fixture = Fixture::new(&["a", "b"]);
    let cancel = async {
        sleep(millis(2_000)).await;
        fixture.store.stored().cancelled_by = Some(ConnectionId::from_gateway("b"));
    };
    tokio::join!(fixture.generate(steady_agent(10, 60_000)), cancel);
    let (stored_at, outcome) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert!((2_000..=2_800).contains(&stored_at), "{stored_at}");
    assert_eq!((outcome.status, outcome.finish_reason), (Status::Cancelled, FinishReason::Cancelled));
    for socket in ["a", "b"] {
        assert_eq!(fixture.end(socket).expect("an end").event["finish_reason"], "cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_socket_without_a_writer_gets_the_end() {
    let fixture = Fixture::new(&["a"]);
    let cancel = async {
        sleep(millis(1_000)).await;
        let mut late = fixture.sockets.connections.lock().expect("no panic")[0].clone();
        late.connection_id = ConnectionId::from_gateway("late");
        fixture.sockets.connections.lock().expect("no panic").push(late);
        fixture.store.stored().cancelled_by = Some(ConnectionId::from_gateway("late"));
    };
    tokio::join!(fixture.generate(steady_agent(10, 60_000)), cancel);
    let types: Vec<_> = fixture.posts("late").iter().map(|post| post.event["type"].clone()).collect();
    assert_eq!(types, ["message_stream_ended"]);
}

#[tokio::test(start_paused = true)]
async fn resume_joins_at_the_offset_once() {
    let fixture = Fixture::new(&["a"]);
    let resume = async {
        sleep(millis(1_000)).await;
        let mut late = fixture.sockets.connections.lock().expect("no panic")[0].clone();
        late.connection_id = ConnectionId::from_gateway("late");
        fixture.sockets.connections.lock().expect("no panic").push(late.clone());
        fixture.store.stored().resumes.push(ResumeCommand::new(late.connection_id, 6));
    };
    tokio::join!(fixture.generate(steady_agent(10, 4_000)), resume);
    let (_, outcome) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert_eq!(fixture.text("late"), outcome.content[6..]);
    let first = &fixture.posts("late")[0];
    assert_eq!((first.event["type"].as_str(), first.event["offset"].as_u64()), (Some("message_stream_token"), Some(6)));
    assert!((1_000..=1_800).contains(&first.at), "{}", first.at);
    assert!(fixture.store.stored().resumes.is_empty(), "acknowledged");
    let repeated = fixture.tokens("late").iter().filter(|post| post.event["offset"] == 6).count();
    assert_eq!(repeated, 1, "a stale read does not start a second writer");
    assert!(fixture.end("late").is_some());
}

#[tokio::test(start_paused = true)]
async fn resume_of_a_socket_with_a_writer_replaces_it_between_two_posts() {
    let fixture = Fixture::new(&["a"]);
    fixture.sockets.delays.lock().expect("no panic").insert(ConnectionId::from_gateway("a"), millis(300));
    let resume = async {
        sleep(millis(1_000)).await;
        fixture.store.stored().resumes.push(ResumeCommand::new(ConnectionId::from_gateway("a"), 0));
    };
    tokio::join!(fixture.generate(steady_agent(10, 4_000)), resume);
    let posts = fixture.posts("a");
    assert!(at(&posts).windows(2).all(|pair| pair[1] - pair[0] >= 300), "one post at a time");
    let starts = posts.iter().filter(|post| post.event["type"] == "message_stream_started").count();
    let ends = posts.iter().filter(|post| post.event["type"] == "message_stream_ended").count();
    assert_eq!((starts, ends), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn resume_beyond_the_text_gets_an_error_and_the_text_from_now_on() {
    let fixture = Fixture::new(&["a"]);
    let resume = async {
        sleep(millis(1_000)).await;
        fixture.store.stored().resumes.push(ResumeCommand::new(ConnectionId::from_gateway("a"), 1_000_000));
    };
    tokio::join!(fixture.generate(steady_agent(10, 4_000)), resume);
    let posts = fixture.posts("a");
    let error = posts.iter().position(|post| post.event["type"] == "error").expect("an error");
    assert_eq!(posts[error].event["error"]["code"], "INVALID_PARAMETER");
    assert!(posts[error + 1..].iter().any(|post| post.event["type"] == "message_stream_token"));
    assert!(fixture.end("a").is_some());
}

#[tokio::test(start_paused = true)]
async fn deleted_chat_ends_the_generation_with_an_error() {
    let fixture = Fixture::new(&["a"]);
    let delete = async {
        sleep(millis(2_000)).await;
        fixture.store.stored().is_deleted = true;
    };
    tokio::join!(fixture.generate(steady_agent(10, 60_000)), delete);
    let posts = fixture.posts("a");
    let error = posts.iter().find(|post| post.event["type"] == "error").expect("an error");
    assert_eq!(error.event["error"]["code"], "CHAT_NOT_FOUND");
    assert!((2_000..=3_000).contains(&error.at), "{}", error.at);
    assert!(fixture.store.stored().outcome.is_none(), "nothing is stored in a deleted chat");
}

#[tokio::test(start_paused = true)]
async fn gone_socket_is_forgotten_and_the_message_is_stored() {
    let fixture = Fixture::new(&["a", "b"]);
    let close = async {
        sleep(millis(1_000)).await;
        fixture.sockets.gone.lock().expect("no panic").push(ConnectionId::from_gateway("a"));
    };
    tokio::join!(fixture.generate(steady_agent(10, 3_000)), close);
    assert!(fixture.end("a").is_none() && fixture.end("b").is_some());
    assert_eq!(*fixture.sockets.forgotten.lock().expect("no panic"), [ConnectionId::from_gateway("a")]);
    let (_, outcome) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert_eq!(outcome.content, fixture.text("b"));
}

#[tokio::test(start_paused = true)]
async fn end_is_told_before_the_chunks_are_deleted() {
    let fixture = Fixture::new(&["a"]);
    fixture.store.stored().chunk_deletion_delay = millis(3_000);
    fixture.generate(steady_agent(100, 2_500)).await;
    let ended_at = fixture.end("a").expect("an end").at;
    assert!((2_500..2_600).contains(&ended_at), "{ended_at}");
    assert_eq!(fixture.store.stored().chunks_deleted_at, Some(5_500), "they are deleted all the same");
}

#[tokio::test(start_paused = true)]
async fn end_waits_a_second_at_most_for_a_poll() {
    let fixture = Fixture::new(&["a"]);
    fixture.store.stored().poll_delay = millis(9_000);
    fixture.generate(agent([(1_000, "text".to_owned())])).await;
    let (stored_at, outcome) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert!((1_000..=2_000).contains(&stored_at), "{stored_at}");
    assert_eq!(outcome.content, "text");
}

#[tokio::test(start_paused = true)]
async fn cancelling_socket_whose_writer_gave_up_gets_the_end() {
    let fixture = Fixture::new(&["a", "b"]);
    let socket = ConnectionId::from_gateway("b");
    let outage = async {
        sleep(millis(1_000)).await;
        fixture.sockets.failing.lock().expect("no panic").push(socket.clone());
        sleep(millis(40_000)).await;
        fixture.sockets.failing.lock().expect("no panic").clear();
        fixture.store.stored().cancelled_by = Some(socket.clone());
    };
    tokio::join!(fixture.generate(steady_agent(100, 120_000)), outage);
    let end = fixture.end("b").expect("an end");
    assert_eq!(end.event["finish_reason"], "cancelled");
    let ends = fixture.posts("a").iter().filter(|post| post.event["type"] == "message_stream_ended").count();
    assert_eq!(ends, 1, "a socket with a live writer is told once");
}

/// A chat with a second connection that opened a moment ago and whose socket API Gateway does not know yet.
fn with_an_opening_socket() -> Fixture {
    let fixture = Fixture::new(&["a", "new"]);
    fixture.sockets.connections.lock().expect("no panic")[1].established = false;
    fixture.sockets.gone.lock().expect("no panic").push(ConnectionId::from_gateway("new"));
    fixture
}

#[tokio::test(start_paused = true)]
async fn socket_that_opens_late_is_waited_for() {
    let fixture = with_an_opening_socket();
    let opening = async {
        sleep(millis(7_000)).await;
        fixture.sockets.gone.lock().expect("no panic").clear();
    };
    tokio::join!(fixture.generate(steady_agent(100, 10_000)), opening);
    assert!(fixture.sockets.forgotten.lock().expect("no panic").is_empty());
    let (_, outcome) = fixture.store.stored().outcome.clone().expect("an outcome");
    assert_eq!(fixture.text("new"), outcome.content);
    assert!(fixture.end("new").is_some());
}

#[tokio::test(start_paused = true)]
async fn socket_that_never_opens_is_forgotten() {
    let fixture = with_an_opening_socket();
    fixture.generate(steady_agent(100, 10_000)).await;
    assert_eq!(*fixture.sockets.forgotten.lock().expect("no panic"), [ConnectionId::from_gateway("new")]);
    assert!(fixture.posts("new").is_empty() && fixture.end("a").is_some());
}
