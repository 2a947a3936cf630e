//! Storage and sockets in memory, and a running generation on top of them.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU32},
    time::Duration,
};

use aws_sdk_dynamodb::config::BehaviorVersion;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    agents::{Delta, Deltas},
    auth::Authenticator,
    domain::{
        api_key::ApiKey,
        connection::{Connection, ConnectionGrant},
        generation::Outcome,
        id::{ChatId, ConnectionId, MessageId, TenantId, UserId},
        message::Usage,
        time::Timestamp,
    },
    generation::{
        fan_out::FanOut,
        generate,
        message_stream::{MessageInfo, MessageStream},
        owned_generation::OwnedGeneration,
        sockets::Sockets,
        store::GenerationStore,
        text_buffer::TextBuffer,
        timings::Timings,
    },
    runtime::{clock::Clock, telemetry::GenerationLine},
    storage::{FinishResult, PendingCommands, RemovedGeneration, ResumeCommand, StorageError, TenantRepository},
    websocket::{Event, PostError},
};

/// The estimated tokens of the request to the model.
pub(super) const INPUT_TOKENS: u32 = 7;

/// How long a lease lasts.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// What is stored of one generation, and when.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) chunks: Vec<(u64, String)>,
    pub(super) renewed_at: Vec<u64>,
    pub(super) outcome: Option<(u64, Outcome)>,
    pub(super) attempts_to_finish: usize,
    pub(super) cancelled_by: Option<ConnectionId>,
    pub(super) resumes: Vec<ResumeCommand>,
    /// Acknowledged resumes that the next poll still shows, as an eventually consistent read may.
    stale_resumes: Vec<ResumeCommand>,
    /// Another process owns the lease.
    pub(super) is_taken_over: bool,
    pub(super) is_deleted: bool,
    /// Every call fails, after `outage_delay`.
    pub(super) is_down: bool,
    pub(super) outage_delay: Duration,
    /// How many generations run in the chat; 0 means 1.
    pub(super) generations: u32,
    /// The usage with which the tenant's budget was settled, and with which the record was removed.
    pub(super) settled_with: Option<Usage>,
    pub(super) removed_with: Option<Usage>,
    /// How long each poll takes, and the deletion of the chunks.
    pub(super) poll_delay: Duration,
    pub(super) chunk_deletion_delay: Duration,
    /// When the chunks were deleted.
    pub(super) chunks_deleted_at: Option<u64>,
    /// When the lease expires, once it has been renewed.
    pub(super) expires_at: Option<Timestamp>,
}

/// Storage in memory. Times are milliseconds since the start of the test.
#[derive(Debug)]
pub(super) struct InMemoryStore {
    clock: Clock,
    started_at: Timestamp,
    stored: Mutex<Stored>,
}

impl InMemoryStore {
    pub(super) fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().expect("no panic")
    }

    fn elapsed(&self) -> u64 {
        self.clock.now().millis_since(self.started_at)
    }

    /// Runs a call, unless storage is down.
    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Stored, u64) -> T,
    ) -> BoxFuture<'static, Result<T, StorageError>> {
        let elapsed = self.elapsed();
        let mut stored = self.stored();
        if stored.is_down {
            let delay = stored.outage_delay;
            return sleep(delay).map(|()| Err(StorageError::Unavailable("down".into()))).boxed();
        }
        let result = call(&mut stored, elapsed);
        async move { Ok(result) }.boxed()
    }
}

impl Stored {
    fn is_owned(&self) -> bool {
        !self.is_taken_over && !self.is_deleted
    }
}

impl GenerationStore for InMemoryStore {
    fn lease_expires_at(&self) -> Timestamp {
        self.stored().expires_at.unwrap_or(self.started_at.plus(LEASE))
    }

    fn save<'a>(&'a self, text: &'a str, now: Timestamp) -> BoxFuture<'a, Result<bool, StorageError>> {
        self.call(|stored, elapsed| {
            if stored.is_owned() {
                stored.chunks.push((elapsed, text.to_owned()));
                stored.expires_at = Some(now.plus(LEASE));
            }
            stored.is_owned()
        })
    }

    fn renew(&self, now: Timestamp) -> BoxFuture<'_, Result<bool, StorageError>> {
        self.call(|stored, elapsed| {
            if stored.is_owned() {
                stored.renewed_at.push(elapsed);
                stored.expires_at = Some(now.plus(LEASE));
            }
            stored.is_owned()
        })
    }

    fn poll_commands(&self) -> BoxFuture<'_, Result<PendingCommands, StorageError>> {
        let delay = self.stored().poll_delay;
        let poll = self.call(|stored, _| {
            if stored.is_deleted {
                return PendingCommands::ChatDeleted;
            }
            let mut resumes = mem::take(&mut stored.stale_resumes);
            resumes.extend(stored.resumes.clone());
            PendingCommands::Running {
                cancelled_by: stored.cancelled_by.clone(),
                resumes,
                generations: stored.generations.max(1),
            }
        });
        sleep(delay).then(|()| poll).boxed()
    }

    fn acknowledge<'a>(&'a self, resume: &'a ResumeCommand) -> BoxFuture<'a, Result<(), StorageError>> {
        self.call(|stored, _| {
            if let Some(index) = stored.resumes.iter().position(|command| command == resume) {
                let acknowledged = stored.resumes.remove(index);
                stored.stale_resumes.push(acknowledged);
            }
        })
    }

    fn finish<'a>(&'a self, outcome: &'a Outcome, _: Timestamp) -> BoxFuture<'a, Result<FinishResult, StorageError>> {
        self.stored().attempts_to_finish += 1;
        self.call(|stored, elapsed| {
            if !stored.is_owned() {
                return FinishResult::Lost;
            }
            stored.outcome = Some((elapsed, outcome.clone()));
            FinishResult::Stored
        })
    }

    fn settle_budget(&self, usage: Usage) -> BoxFuture<'_, Result<(), StorageError>> {
        self.call(move |stored, _| stored.settled_with = Some(usage))
    }

    fn remove_record(
        &self,
        usage: Usage,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<Option<RemovedGeneration>, StorageError>> {
        self.call(move |stored, _| {
            stored.removed_with = Some(usage);
            None
        })
    }

    fn count_usage<'a>(&'a self, _: &'a RemovedGeneration) -> BoxFuture<'a, Result<(), StorageError>> {
        self.call(|_, _| ())
    }

    fn delete_chunks(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        async {
            let delay = self.stored().chunk_deletion_delay;
            sleep(delay).await;
            self.call(|stored, elapsed| stored.chunks_deleted_at = Some(elapsed)).await
        }
        .boxed()
    }
}

/// A post: to which socket, how many milliseconds after the start of the test, what.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) socket: ConnectionId,
    pub(super) at: u64,
    pub(super) event: Value,
}

/// Sockets in memory.
#[derive(Debug, Default)]
pub(super) struct InMemorySockets {
    pub(super) connections: Mutex<Vec<Connection>>,
    /// How long a post to a socket takes; nothing unless set.
    pub(super) delays: Mutex<HashMap<ConnectionId, Duration>>,
    /// Sockets that accept nothing.
    pub(super) failing: Mutex<Vec<ConnectionId>>,
    /// Sockets that are gone.
    pub(super) gone: Mutex<Vec<ConnectionId>>,
    pub(super) forgotten: Mutex<Vec<ConnectionId>>,
    pub(super) refuses_posts: Mutex<bool>,
    posts: Mutex<Vec<Post>>,
    started: Mutex<Option<Instant>>,
}

impl Sockets for InMemorySockets {
    fn of_chat<'a>(
        &'a self,
        _: &'a TenantId,
        _: &'a ChatId,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Connection>, StorageError>> {
        async { Ok(self.connections.lock().expect("no panic").clone()) }.boxed()
    }

    fn is_established<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<Option<bool>, StorageError>> {
        async { Ok(Some(connection.established)) }.boxed()
    }

    fn post<'a>(&'a self, socket: &'a ConnectionId, event: &'a Event<'a>) -> BoxFuture<'a, Result<(), PostError>> {
        async move {
            if self.gone.lock().expect("no panic").contains(socket) {
                return Err(PostError::Gone);
            }
            if self.failing.lock().expect("no panic").contains(socket) {
                return Err(PostError::Failed("throttled".into()));
            }
            let started = self.started.lock().expect("no panic").expect("the test has started");
            let at = u64::try_from(started.elapsed().as_millis()).expect("a short test");
            let event = serde_json::to_value(event).expect("an event is JSON");
            self.posts.lock().expect("no panic").push(Post { socket: socket.clone(), at, event });
            let delay = self.delays.lock().expect("no panic").get(socket).copied().unwrap_or_default();
            sleep(delay).await;
            Ok(())
        }
        .boxed()
    }

    fn has_refused_posts(&self) -> bool {
        *self.refuses_posts.lock().expect("no panic")
    }

    fn forget<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<(), StorageError>> {
        self.forgotten.lock().expect("no panic").push(connection.connection_id.clone());
        async { Ok(()) }.boxed()
    }
}

/// A running generation with everything in memory.
pub(super) struct Fixture {
    pub(super) store: Arc<InMemoryStore>,
    pub(super) sockets: Arc<InMemorySockets>,
    run: OwnedGeneration,
    connection: Connection,
}

impl Fixture {
    /// A chat whose connections are named `a`, `b` and so on; `a` asks for the message.
    pub(super) fn new(connections: &[&str]) -> Self {
        let started_at = Timestamp::from_millis(1_769_851_800_000);
        let clock = Clock::tokio(started_at);
        let grant = ConnectionGrant {
            tenant_id: TenantId::generate(),
            key: ApiKey::new("x").hash(),
            user_id: UserId::parse("u").expect("a user"),
            chat_id: ChatId::generate(),
        };
        let connections: Vec<Connection> = connections
            .iter()
            .map(|id| Connection {
                established: true,
                ..Connection::open(ConnectionId::from_gateway(*id), grant.clone(), started_at)
            })
            .collect();
        let connection = connections[0].clone();
        let store = Arc::new(InMemoryStore { clock, started_at, stored: Mutex::default() });
        let sockets = Arc::new(InMemorySockets {
            connections: Mutex::new(connections),
            started: Mutex::new(Some(Instant::now())),
            ..InMemorySockets::default()
        });
        let stream = MessageStream {
            tenant_id: grant.tenant_id.clone(),
            chat_id: grant.chat_id.clone(),
            user_message: None,
            message: MessageInfo {
                message_id: MessageId::at(1),
                seq: 1,
                in_reply_to: MessageId::at(0),
                replaces: None,
                model: "test".to_owned(),
            },
            request_id: "r".to_owned(),
            buffer: TextBuffer::new(),
            sockets: sockets.clone(),
            lease: Some(store.clone()),
            clock,
            timings: Timings::default(),
            generations: AtomicU32::new(1),
        };
        let run = OwnedGeneration {
            input_tokens: INPUT_TOKENS,
            grant,
            authenticator: unreachable_authenticator(),
            lease: store.clone(),
            fan_out: FanOut::new(stream),
            received_at: started_at,
        };
        Self { store, sockets, run, connection }
    }

    /// Generates one message to its end.
    pub(super) async fn generate(&self, deltas: Deltas) {
        generate::stream_and_store(&self.run, self.connection.clone(), deltas, &GenerationLine::default()).await;
    }

    pub(super) fn posts(&self, socket: &str) -> Vec<Post> {
        let posts = self.sockets.posts.lock().expect("no panic");
        posts.iter().filter(|post| post.socket.as_str() == socket).cloned().collect()
    }

    /// The token frames of a socket.
    pub(super) fn tokens(&self, socket: &str) -> Vec<Post> {
        self.posts(socket).into_iter().filter(|post| post.event["type"] == "message_stream_token").collect()
    }

    /// The text of a socket, checked for gaps.
    pub(super) fn text(&self, socket: &str) -> String {
        let tokens = self.tokens(socket);
        let start = tokens.first().and_then(|post| post.event["offset"].as_u64()).unwrap_or_default();
        let mut text = String::new();
        for token in tokens {
            assert_eq!(token.event["offset"], start + text.len() as u64, "no gap");
            text.push_str(token.event["token"].as_str().expect("text"));
        }
        text
    }

    /// The end event of a socket.
    pub(super) fn end(&self, socket: &str) -> Option<Post> {
        self.posts(socket).into_iter().find(|post| post.event["type"] == "message_stream_ended")
    }
}

/// An authenticator whose table cannot be reached: the client has no region. A recheck that fails so ends nothing.
fn unreachable_authenticator() -> Authenticator {
    let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest()).build();
    Authenticator::new(TenantRepository::new(aws_sdk_dynamodb::Client::from_conf(config), "tenants".to_owned()))
}

/// An agent that sends each text so many milliseconds after the start.
pub(super) fn agent(tokens: impl IntoIterator<Item = (u64, String)>) -> Deltas {
    let started = Instant::now();
    let tokens: Vec<_> = tokens.into_iter().collect();
    stream::iter(tokens)
        .then(move |(at, content)| async move {
            sleep_until(started + Duration::from_millis(at)).await;
            Ok(Delta { content, ..Delta::default() })
        })
        .boxed()
}

/// An agent that sends a numbered token every `interval` milliseconds from `interval` to `end`.
pub(super) fn steady_agent(interval: u64, end: u64) -> Deltas {
    agent((1..=end / interval).map(|number| (number * interval, format!("{number} "))))
}
