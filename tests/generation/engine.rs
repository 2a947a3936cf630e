//! The streaming engine, with sockets and models of every speed: what leaves when, and what is stored.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    agents::{AgentError, Delta, Deltas, Failure},
    auth::Authenticator,
    domain::{
        api_key::ApiKey,
        id::{ChatId, ConnectionId, UserId},
        time::Timestamp,
    },
    generation::{ChatConnections, GenerationContext, generate},
    storage::{AppendResult, ChatPosition, Connection, ConnectionGrant, NewMessage, TenantStatus},
    websocket::Publisher,
};
use tests::{ManagementApi, Manner, Post, PostAnswer, Stack, Tenant};

/// A chat with sockets that behave as they are told.
struct Room {
    tenant: Tenant,
    chat: ChatId,
    api: ManagementApi,
    connections: Vec<Connection>,
}

impl Room {
    async fn with(name: &str, manners: &[Manner]) -> Self {
        let stack = Stack::shared();
        let tenant = stack.tenant(name).await;
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        let ids: Vec<String> = (0..manners.len()).map(|number| format!("{chat}-{number}=")).collect();
        let api = ManagementApi::start(&ids.iter().cloned().zip(manners.iter().copied()).collect::<Vec<_>>()).await;
        let mut connections = Vec::new();
        for id in &ids {
            let grant = ConnectionGrant {
                tenant_id: tenant.id.clone(),
                key: ApiKey::new(&tenant.key).hash(),
                user_id: UserId::parse("u").expect("a user"),
                chat_id: chat.clone(),
            };
            let mut connection = Connection::open(ConnectionId::from_gateway(id), grant, Timestamp::now());
            assert!(stack.connections().lease(&connection, 50).await.expect("the table answers"));
            stack.connections().put(&connection).await.expect("the table answers");
            stack.connections().note_greeted(&connection).await.expect("the table answers");
            connection.greeted = true;
            connections.push(connection);
        }
        Self { tenant, chat, api, connections }
    }

    /// Streams an answer to the first socket's message, to its end.
    async fn answer(&self, answer: Deltas) {
        let stack = Stack::shared();
        let now = Timestamp::now();
        let new = NewMessage { content: "Hello", client_id: None, model: "test" };
        let appended = stack.chats().append(&self.tenant.id, &self.chat, ChatPosition::default(), new, now).await;
        let AppendResult::Stored(exchange) = appended.expect("the table answers") else { panic!("not stored") };
        let publisher = Publisher::new(tests::management_client(&self.api.url));
        let answering = GenerationContext {
            chats: stack.chats(),
            sockets: ChatConnections { connections: stack.connections(), publisher },
            authenticator: Authenticator::new(stack.tenants()),
            connection: self.connections[0].clone(),
            message: Some(exchange.message),
            generation: exchange.generation,
            model: "test".to_owned(),
            received_at: now,
            request_id: "r".to_owned(),
        };
        Box::pin(generate(answering, answer)).await;
    }

    fn posts(&self, socket: usize) -> Vec<Post> {
        self.api.posts(self.connections[socket].connection_id.as_str())
    }

    async fn stored(&self) -> Value {
        self.tenant.get(&format!("/api/v1/chats/{}/messages", self.chat)).await.body["messages"][1].clone()
    }

    async fn leases(&self) -> usize {
        Stack::shared().connections().leases(&self.tenant.id).await.expect("the table answers").len()
    }
}

/// A model that says `count` tokens at a steady pace, and when it said the last one.
fn model(count: u32, per_second: u32) -> (Deltas, Arc<Mutex<Option<Instant>>>) {
    const WORDS: [&str; 6] = ["word ", "naïve ", "東京 ", "👩‍👩‍👧 ", "\n", "ٱلسَّلَامُ "];
    let last = Arc::new(Mutex::new(None));
    let said = last.clone();
    // By then the sockets have heard that the answer begins.
    let begun = tokio::time::Instant::now() + Duration::from_secs(1);
    let tokens = stream::iter(1..=count).then(move |number| {
        let said = said.clone();
        async move {
            tokio::time::sleep_until(begun + Duration::from_secs(1) * number / per_second).await;
            if number == count {
                *said.lock().expect("a lock") = Some(Instant::now());
            }
            let word = WORDS[number as usize % WORDS.len()];
            Ok(Delta { content: format!("{number}{word}"), ..Delta::default() })
        }
    });
    (tokens.boxed(), last)
}

fn tokens(posts: &[Post]) -> Vec<&Post> {
    posts.iter().filter(|post| post.event["type"] == "message_stream_token").collect()
}

/// What a socket's tokens say, checked for holes.
fn text(posts: &[Post]) -> String {
    let mut text = String::new();
    for token in tokens(posts) {
        assert_eq!(token.event["offset"], text.len(), "tokens come in order, from 0, without a hole");
        text.push_str(token.event["token"].as_str().expect("text"));
        assert_eq!(token.event["next_offset"], text.len());
    }
    text
}

/// Checks how an answer leaves. Returns whether its first token waited for no others, as far as the pace shows.
async fn pace(post_ms: u64, per_second: u32) -> bool {
    let room = Room::with(&format!("{post_ms} ms, {per_second} a second"), &[Manner::takes(post_ms)]).await;
    let (answer, last) = model(per_second.max(40) * 3 / 2, per_second);
    room.answer(answer).await;
    let posts = room.posts(0);
    let frames = tokens(&posts);
    assert_eq!(text(&posts), room.stored().await["content"].as_str().expect("text"));

    let last = last.lock().expect("a lock").expect("the model has said all");
    let late = frames.iter().filter(|frame| frame.began > last).count();
    assert!(late <= 2, "{late} frames left after the last token");
    // Both are measured at the same place: how long the frames took, and how many there were.
    let (first, end) = (frames[0].began, frames[frames.len() - 1].began);
    let most = (end - first).as_millis() / 40 + 2;
    assert!(frames.len() as u128 <= most, "{} frames in {:?}", frames.len(), end - first);
    let first = frames[0].event["token"].as_str().expect("text").len();
    if per_second == 20 {
        assert_eq!(first, "1naïve ".len(), "the first token leaves at once, alone");
    }
    // Had the first frame waited for the 40 ms of the others, it would hold more than what comes in half of that time.
    first < text(&posts).len() * 20 / 1_500
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_leave_at_once_then_gather_whatever_a_post_takes() {
    let speeds = [20, 200, 1_000].into_iter().flat_map(|pace| [5, 20, 100].map(|post| (post, pace)));
    let at_once = futures_util::future::join_all(speeds.map(|(post, per_second)| pace(post, per_second))).await;
    // A busy machine may hold up some.
    assert!(at_once[3..].contains(&true), "the first token waits for no others: {at_once:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_socket_gets_fewer_frames_and_holds_up_nobody() {
    let room = Room::with("slow and fast", &[Manner::takes(700), Manner::takes(1)]).await;
    let (answer, _) = model(300, 150);
    room.answer(answer).await;
    let (slow, fast) = (room.posts(0), room.posts(1));
    assert_eq!(text(&slow), text(&fast));
    assert!(tokens(&slow).len() * 4 < tokens(&fast).len(), "{} and {}", tokens(&slow).len(), tokens(&fast).len());
    let end = |posts: &[Post]| posts.last().expect("an end").began;
    assert_eq!(fast.last().expect("an end").event["type"], "message_stream_ended");
    let waiting = tokens(&slow).iter().filter(|frame| frame.began > end(&fast)).count();
    assert!(end(&slow) > end(&fast) || waiting > 0, "the fast one does not wait for the slow one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_gone_is_dropped_and_its_lease_ends_and_the_answer_goes_on() {
    let goes = Manner {
        delay: Duration::ZERO,
        answer: |number| match number {
            ..5 => PostAnswer::Taken,
            _ => PostAnswer::Refused(StatusCode::GONE),
        },
    };
    let room = Room::with("gone", &[goes, Manner::takes(1)]).await;
    assert_eq!(room.leases().await, 2);
    let (answer, _) = model(60, 60);
    room.answer(answer).await;
    assert_eq!(room.api.tries(room.connections[0].connection_id.as_str()), 6, "nothing is posted to it any more");
    let stored = room.stored().await;
    assert_eq!((&stored["status"], &stored["content"]), (&json!("complete"), &json!(text(&room.posts(1)))));
    assert_eq!(room.leases().await, 1);
    let noted = Stack::shared().connections().of_tenant(&room.tenant.id).await.expect("the table answers");
    assert_eq!(noted.len(), 1, "{noted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_stored_though_nobody_hears_it() {
    let gone = Manner { delay: Duration::ZERO, answer: |_| PostAnswer::Refused(StatusCode::GONE) };
    let room = Room::with("nobody", &[gone]).await;
    let (answer, _) = model(30, 100);
    room.answer(answer).await;
    assert_eq!(room.stored().await["status"], "complete");
    assert_eq!(room.leases().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_fail_are_tried_again_while_tokens_gather() {
    let throttled = Manner {
        delay: Duration::from_millis(1),
        answer: |number| match number % 4 {
            1 => PostAnswer::Refused(StatusCode::TOO_MANY_REQUESTS),
            2 => PostAnswer::Refused(StatusCode::INTERNAL_SERVER_ERROR),
            _ => PostAnswer::Taken,
        },
    };
    let room = Room::with("throttled", &[throttled, Manner::takes(1)]).await;
    let (answer, _) = model(200, 200);
    room.answer(answer).await;
    let (throttled, free) = (room.posts(0), room.posts(1));
    assert_eq!(text(&throttled), text(&free));
    assert_eq!(throttled.last().expect("an end").event["type"], "message_stream_ended");
    assert!(tokens(&throttled).len() < tokens(&free).len(), "what gathered left together");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_never_answers_is_given_up_and_the_others_are_not() {
    let silent = Manner {
        delay: Duration::ZERO,
        answer: |number| match number {
            ..3 => PostAnswer::Taken,
            _ => PostAnswer::Silence,
        },
    };
    let room = Room::with("silent", &[silent, Manner::takes(1)]).await;
    let (answer, _) = model(100, 100);
    room.answer(answer).await;
    let free = room.posts(1);
    assert_eq!(free.last().expect("an end").event["type"], "message_stream_ended");
    assert_eq!(room.stored().await["content"], text(&free));
    assert!(room.posts(0).iter().all(|post| post.event["type"] != "message_stream_ended"));
    assert_eq!(room.leases().await, 2, "it may be there still");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_silent_for_longer_than_a_lease_lasts_keeps_its_answer() {
    let room = Room::with("silent agent", &[Manner::takes(1)]).await;
    let late = stream::once(async {
        tokio::time::sleep(Duration::from_secs(18)).await;
        Ok(Delta { content: "At last".to_owned(), ..Delta::default() })
    });
    let reading = async {
        // A lease that nobody renews is over by now.
        tokio::time::sleep(Duration::from_secs(17)).await;
        assert_eq!(room.stored().await["status"], "streaming");
    };
    tokio::join!(room.answer(late.boxed()), reading);
    assert_eq!(room.stored().await["content"], "At last");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_post_is_larger_than_28_kib() {
    let room = Room::with("large", &[Manner::takes(50)]).await;
    // Each of these is two bytes in JSON, or six.
    let large = stream::iter((0..60).map(|_| Ok(Delta { content: "\"\n\u{1}é".repeat(1_000), ..Delta::default() })));
    room.answer(large.boxed()).await;
    let posts = room.posts(0);
    assert_eq!(text(&posts).len(), 60 * 5_000);
    assert!(posts.iter().all(|post| post.bytes <= 28 * 1024), "{:?}", posts.iter().map(|post| post.bytes).max());
    assert_eq!(posts.last().expect("an end").event["content_omitted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_ends_with_length() {
    let room = Room::with("too long", &[Manner::takes(1)]).await;
    let endless =
        stream::repeat_with(|| Ok(Delta { content: "👩‍👩‍👧 and so on ".repeat(100), ..Delta::default() }));
    room.answer(endless.boxed()).await;
    let stored = room.stored().await;
    let length = stored["content"].as_str().expect("text").len();
    assert!((299_990..=300_000).contains(&length), "{length}");
    assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("complete"), &json!("length")));
    assert_eq!(room.posts(0).last().expect("an end").event["finish_reason"], "length");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_fails_or_panics_leaves_what_came() {
    for panics in [false, true] {
        let room = Room::with("failing", &[Manner::takes(1)]).await;
        let (answer, _) = model(20, 100);
        let failure = stream::once(async move {
            assert!(!panics, "what the agent panics with");
            Err(AgentError::new(Failure::BrokenOff, "the agent's own words"))
        });
        room.answer(answer.chain(failure).boxed()).await;
        let posts = room.posts(0);
        let stored = room.stored().await;
        assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("failed"), &json!("error")));
        assert_eq!(stored["content"], text(&posts));
        let [.., error, end] = &posts[..] else { panic!("there is an end") };
        assert_eq!(
            (&error.event["error"]["code"], &error.event["message_id"]),
            (&json!("AGENT_ERROR"), &stored["message_id"])
        );
        assert!(!error.event.to_string().contains("own words"));
        assert_eq!((&end.event["finish_reason"], &end.event["content"]), (&json!("error"), &stored["content"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_s_stream_ends_and_its_sockets_are_closed() {
    let room = Room::with("suspended", &[Manner::takes(1), Manner::takes(1)]).await;
    let (answer, _) = model(60_000, 100);
    let tenants = Stack::shared().tenants();
    assert!(tenants.set_status(&room.tenant.id, TenantStatus::Suspended).await.expect("the table answers"));
    room.answer(answer).await;
    for socket in 0..2 {
        let posts = room.posts(socket);
        let ends = posts.iter().any(|post| post.event["error"]["code"] == "CONNECTION_CLOSING");
        assert!(ends, "{posts:?}");
        assert!(room.api.is_closed(room.connections[socket].connection_id.as_str()));
    }
}
