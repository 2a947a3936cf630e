//! The generation engine with sockets and models of different speeds: its frames and the stored answer.

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
        connection::{Connection, ConnectionGrant},
        id::{ChatId, ConnectionId, UserId},
        tenant::TenantStatus,
        time::Timestamp,
    },
    generation::{ChatConnections, GenerationContext, generate},
    storage::{AppendResult, ChatPosition},
    websocket::Publisher,
};
use tests::{ManagementStub, Post, PostResult, SocketBehavior, Stack, Tenant, new_message, take_slot};

/// A chat with stub sockets.
pub(crate) struct ChatFixture {
    tenant: Tenant,
    chat: ChatId,
    management: ManagementStub,
    connections: Vec<Connection>,
}

impl ChatFixture {
    pub(crate) async fn with(name: &str, behaviors: &[SocketBehavior]) -> Self {
        let stack = Stack::shared();
        let tenant = stack.tenant(name).await;
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        let ids: Vec<String> = (0..behaviors.len()).map(|number| format!("{chat}-{number}=")).collect();
        let management =
            ManagementStub::start(&ids.iter().cloned().zip(behaviors.iter().copied()).collect::<Vec<_>>()).await;
        let mut connections = Vec::new();
        for id in &ids {
            let grant = ConnectionGrant {
                tenant_id: tenant.id.clone(),
                key: ApiKey::new(&tenant.key).hash(),
                user_id: UserId::parse("u").expect("a user"),
                chat_id: chat.clone(),
            };
            let mut connection = Connection::open(ConnectionId::from_gateway(id), grant, Timestamp::now());
            assert!(take_slot(&stack.connections(), &connection, 50).await);
            stack.connections().put(&connection).await.expect("DynamoDB responds");
            stack.connections().mark_established(&connection).await.expect("DynamoDB responds");
            connection.established = true;
            connections.push(connection);
        }
        Self { tenant, chat, management, connections }
    }

    /// Generates an answer to a message of the first socket, to its end.
    pub(crate) async fn generate(&self, deltas: Deltas) {
        self.generate_beside(0, deltas).await;
    }

    /// As [`generate`](Self::generate), in a chat where `others` run when it starts.
    async fn generate_beside(&self, others: u32, deltas: Deltas) {
        let stack = Stack::shared();
        let now = Timestamp::now();
        let new = new_message("Hello");
        let appended = stack.messages().append(&self.tenant.id, &self.chat, ChatPosition::default(), new, now).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let publisher = Publisher::new(tests::management_client(&self.management.url));
        let context = GenerationContext {
            generations: stack.generations(),
            sockets: ChatConnections { connections: stack.connections(), publisher },
            authenticator: Authenticator::new(stack.tenants()),
            connection: self.connections[0].clone(),
            message: Some(exchange.message),
            generations_in_chat: others + 1,
            generation: exchange.generation,
            received_at: now,
            frame_interval: Duration::from_millis(100),
            request_id: "r".to_owned(),
        };
        Box::pin(generate(context, deltas)).await;
    }

    pub(crate) fn posts(&self, socket: usize) -> Vec<Post> {
        self.management.posts(self.connections[socket].connection_id.as_str())
    }

    async fn stored(&self) -> Value {
        self.tenant.get(&format!("/api/v1/chats/{}/messages", self.chat)).await.body["messages"][1].clone()
    }

    async fn slots(&self) -> usize {
        Stack::shared().connections().slots().list(&self.tenant.id).await.expect("DynamoDB responds").len()
    }
}

/// A model of `count` tokens at a constant rate, and the time of its last token.
fn model(count: u32, per_second: u32) -> (Deltas, Arc<Mutex<Option<Instant>>>) {
    const WORDS: [&str; 6] = ["word ", "naïve ", "東京 ", "👩‍👩‍👧 ", "\n", "ٱلسَّلَامُ "];
    let last = Arc::new(Mutex::new(None));
    let sent = last.clone();
    // By then the sockets have `message_stream_started`.
    let start = tokio::time::Instant::now() + Duration::from_secs(1);
    let tokens = stream::iter(1..=count).then(move |number| {
        let sent = sent.clone();
        async move {
            tokio::time::sleep_until(start + Duration::from_secs(1) * number / per_second).await;
            if number == count {
                *sent.lock().expect("a lock") = Some(Instant::now());
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

/// The text of a socket's tokens, checked for gaps.
fn text(posts: &[Post]) -> String {
    let mut text = String::new();
    for token in tokens(posts) {
        assert_eq!(token.event["offset"], text.len(), "tokens have no gap");
        text.push_str(token.event["token"].as_str().expect("text"));
        assert_eq!(token.event["next_offset"], text.len());
    }
    text
}

/// The first poll, after 0.8 s, tells how many generations run by then.
#[tokio::test]
async fn generation_shares_the_frames_of_a_socket_from_its_start() {
    let chat = ChatFixture::with("fourth answer", &[SocketBehavior::accepts_in(0)]).await;
    let start = tokio::time::Instant::now();
    let deltas = stream::iter(1_u32..=60).then(move |number| async move {
        tokio::time::sleep_until(start + Duration::from_millis(10) * number).await;
        Ok(Delta { content: format!("{number} "), ..Delta::default() })
    });
    chat.generate_beside(3, deltas.boxed()).await;
    // 160 ms apart, and the last one.
    let posts = chat.posts(0);
    assert!(tokens(&posts).len() <= 6, "{} frames in 0.6 s", tokens(&posts).len());
}

/// Checks the frames of an answer. Returns whether the first token left alone, as far as the rate shows.
async fn check_coalescing(post_ms: u64, per_second: u32) -> bool {
    let chat =
        ChatFixture::with(&format!("{post_ms} ms, {per_second} a second"), &[SocketBehavior::accepts_in(post_ms)])
            .await;
    let (answer, last) = model(per_second.max(40) * 3 / 2, per_second);
    chat.generate(answer).await;
    let posts = chat.posts(0);
    let frames = tokens(&posts);
    assert_eq!(text(&posts), chat.stored().await["content"].as_str().expect("text"));

    let last = last.lock().expect("a lock").expect("the model has ended");
    let late = frames.iter().filter(|frame| frame.began > last).count();
    assert!(late <= 2, "{late} frames left after the last token");
    // Duration and count are measured at the same place.
    let (first, end) = (frames[0].began, frames[frames.len() - 1].began);
    let most = (end - first).as_millis() / 40 + 2;
    assert!(frames.len() as u128 <= most, "{} frames in {:?}", frames.len(), end - first);
    let first = frames[0].event["token"].as_str().expect("text").len();
    if per_second == 20 {
        return first == "1naïve ".len();
    }
    // Had the first frame waited 40 ms, it would contain more than the text of 20 ms.
    first < text(&posts).len() * 20 / 1_500
}

#[tokio::test(flavor = "multi_thread")]
async fn first_token_leaves_immediately_and_later_ones_are_coalesced_at_every_post_duration() {
    let speeds = [20, 200, 1_000].into_iter().flat_map(|rate| [5, 20, 100].map(|post| (post, rate)));
    let immediate =
        futures_util::future::join_all(speeds.map(|(post, per_second)| check_coalescing(post, per_second))).await;
    // A busy machine may delay some. `generation::tests::engine` in `shared` checks the rule in paused time.
    let (alone, early) = immediate.split_at(3);
    assert!(alone.contains(&true), "no first token left alone: {immediate:?}");
    assert!(early.contains(&true), "no first token left immediately: {immediate:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_socket_gets_fewer_frames_and_delays_no_other() {
    let chat =
        ChatFixture::with("slow and fast", &[SocketBehavior::accepts_in(700), SocketBehavior::accepts_in(1)]).await;
    let (answer, _) = model(300, 150);
    chat.generate(answer).await;
    let (slow, fast) = (chat.posts(0), chat.posts(1));
    assert_eq!(text(&slow), text(&fast));
    assert!(tokens(&slow).len() * 4 < tokens(&fast).len(), "{} and {}", tokens(&slow).len(), tokens(&fast).len());
    let end = |posts: &[Post]| posts.last().expect("an end").began;
    assert_eq!(fast.last().expect("an end").event["type"], "message_stream_ended");
    let waiting = tokens(&slow).iter().filter(|frame| frame.began > end(&fast)).count();
    assert!(end(&slow) > end(&fast) || waiting > 0, "the fast socket does not wait for the slow one");
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_socket_is_removed_with_its_slot_and_the_generation_continues() {
    let leaving = SocketBehavior {
        delay: Duration::ZERO,
        result: |number| match number {
            ..5 => PostResult::Accepted,
            _ => PostResult::Refused(StatusCode::GONE),
        },
    };
    let chat = ChatFixture::with("gone", &[leaving, SocketBehavior::accepts_in(1)]).await;
    assert_eq!(chat.slots().await, 2);
    let (answer, _) = model(60, 60);
    chat.generate(answer).await;
    assert_eq!(chat.management.attempts(chat.connections[0].connection_id.as_str()), 6, "no post after the 410");
    let stored = chat.stored().await;
    assert_eq!((&stored["status"], &stored["content"]), (&json!("complete"), &json!(text(&chat.posts(1)))));
    assert_eq!(chat.slots().await, 1);
    let stored = Stack::shared().connections().list_by_tenant(&chat.tenant.id).await.expect("DynamoDB responds");
    assert_eq!(stored.len(), 1, "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_is_stored_without_any_socket() {
    let gone = SocketBehavior { delay: Duration::ZERO, result: |_| PostResult::Refused(StatusCode::GONE) };
    let chat = ChatFixture::with("no socket", &[gone]).await;
    let (answer, _) = model(30, 100);
    chat.generate(answer).await;
    assert_eq!(chat.stored().await["status"], "complete");
    assert_eq!(chat.slots().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_post_is_retried_while_tokens_are_coalesced() {
    let throttled = SocketBehavior {
        delay: Duration::from_millis(1),
        result: |number| match number % 4 {
            1 => PostResult::Refused(StatusCode::TOO_MANY_REQUESTS),
            2 => PostResult::Refused(StatusCode::INTERNAL_SERVER_ERROR),
            _ => PostResult::Accepted,
        },
    };
    let chat = ChatFixture::with("throttled", &[throttled, SocketBehavior::accepts_in(1)]).await;
    let (answer, _) = model(200, 200);
    chat.generate(answer).await;
    let (throttled, free) = (chat.posts(0), chat.posts(1));
    assert_eq!(text(&throttled), text(&free));
    assert_eq!(throttled.last().expect("an end").event["type"], "message_stream_ended");
    assert!(tokens(&throttled).len() < tokens(&free).len(), "coalesced tokens leave together");
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_never_responds_is_given_up_and_others_complete() {
    let silent = SocketBehavior {
        delay: Duration::ZERO,
        result: |number| match number {
            ..3 => PostResult::Accepted,
            _ => PostResult::NoResponse,
        },
    };
    let chat = ChatFixture::with("silent", &[silent, SocketBehavior::accepts_in(1)]).await;
    let (answer, _) = model(100, 100);
    chat.generate(answer).await;
    let free = chat.posts(1);
    assert_eq!(free.last().expect("an end").event["type"], "message_stream_ended");
    assert_eq!(chat.stored().await["content"], text(&free));
    assert!(chat.posts(0).iter().all(|post| post.event["type"] != "message_stream_ended"));
    assert_eq!(chat.slots().await, 2, "the socket may still be open");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_agent_keeps_its_lease_beyond_one_lease_duration() {
    let chat = ChatFixture::with("silent agent", &[SocketBehavior::accepts_in(1)]).await;
    let late = stream::once(async {
        tokio::time::sleep(Duration::from_secs(18)).await;
        Ok(Delta { content: "At last".to_owned(), ..Delta::default() })
    });
    let reading = async {
        // A lease without renewal has expired by now.
        tokio::time::sleep(Duration::from_secs(17)).await;
        assert_eq!(chat.stored().await["status"], "streaming");
    };
    tokio::join!(chat.generate(late.boxed()), reading);
    assert_eq!(chat.stored().await["content"], "At last");
}

#[tokio::test(flavor = "multi_thread")]
async fn post_has_at_most_28_kib() {
    let chat = ChatFixture::with("large", &[SocketBehavior::accepts_in(50)]).await;
    // In JSON each of these takes two bytes, or six.
    let large = stream::iter((0..60).map(|_| Ok(Delta { content: "\"\n\u{1}é".repeat(1_000), ..Delta::default() })));
    chat.generate(large.boxed()).await;
    let posts = chat.posts(0);
    assert_eq!(text(&posts).len(), 60 * 5_000);
    assert!(posts.iter().all(|post| post.bytes <= 28 * 1024), "{:?}", posts.iter().map(|post| post.bytes).max());
    assert_eq!(posts.last().expect("an end").event["content_omitted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_over_300_kb_ends_with_length() {
    let chat = ChatFixture::with("too long", &[SocketBehavior::accepts_in(1)]).await;
    let endless =
        stream::repeat_with(|| Ok(Delta { content: "👩‍👩‍👧 and so on ".repeat(100), ..Delta::default() }));
    chat.generate(endless.boxed()).await;
    let stored = chat.stored().await;
    let length = stored["content"].as_str().expect("text").len();
    assert!((299_990..=300_000).contains(&length), "{length}");
    assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("complete"), &json!("length")));
    assert_eq!(chat.posts(0).last().expect("an end").event["finish_reason"], "length");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_or_panicking_agent_keeps_the_text_so_far() {
    for panics in [false, true] {
        let chat = ChatFixture::with("failing", &[SocketBehavior::accepts_in(1)]).await;
        let (answer, _) = model(20, 100);
        let failure = stream::once(async move {
            assert!(!panics, "panic of the agent");
            Err(AgentError::new(Failure::BrokenOff, "the agent's own words"))
        });
        chat.generate(answer.chain(failure).boxed()).await;
        let posts = chat.posts(0);
        let stored = chat.stored().await;
        assert_eq!((&stored["status"], &stored["finish_reason"]), (&json!("failed"), &json!("error")));
        assert_eq!(stored["content"], text(&posts));
        let [.., error, end] = &posts[..] else { panic!("no end: {posts:?}") };
        assert_eq!(
            (&error.event["error"]["code"], &error.event["message_id"]),
            (&json!("AGENT_ERROR"), &stored["message_id"])
        );
        assert!(!error.event.to_string().contains("own words"));
        assert_eq!((&end.event["finish_reason"], &end.event["content"]), (&json!("error"), &stored["content"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generation_of_a_suspended_tenant_ends_and_its_sockets_are_closed() {
    let chat = ChatFixture::with("suspended", &[SocketBehavior::accepts_in(1), SocketBehavior::accepts_in(1)]).await;
    let (answer, _) = model(60_000, 100);
    let tenants = Stack::shared().tenants();
    assert!(tenants.set_status(&chat.tenant.id, TenantStatus::Suspended).await.expect("DynamoDB responds"));
    chat.generate(answer).await;
    for socket in 0..2 {
        let posts = chat.posts(socket);
        let ends = posts.iter().any(|post| post.event["error"]["code"] == "CONNECTION_CLOSING");
        assert!(ends, "{posts:?}");
        assert!(chat.management.is_closed(chat.connections[socket].connection_id.as_str()));
    }
}
