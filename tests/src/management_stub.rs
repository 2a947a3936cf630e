//! `@connections` of a WebSocket API, whose sockets behave as a test says: slow, throttled, gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use serde_json::Value;

use crate::documents;

/// How a socket responds to posts.
#[derive(Clone, Copy, Debug)]
pub struct SocketBehavior {
    /// How long each post takes.
    pub delay: Duration,
    /// The result of each post, by its number.
    pub result: fn(usize) -> PostResult,
}

/// The result of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostResult {
    /// It arrives.
    Accepted,
    /// An error status; the post does not arrive.
    Refused(StatusCode),
    /// No response.
    NoResponse,
}

/// A post that arrived.
#[derive(Clone, Debug)]
pub struct Post {
    /// When it began.
    pub began: Instant,
    /// Its size.
    pub bytes: usize,
    /// Its event.
    pub event: Value,
}

/// A running stub. It ends with the runtime that it was started on.
#[derive(Debug)]
pub struct ManagementStub {
    /// Its address.
    pub url: String,
    sockets: Arc<Sockets>,
}

#[derive(Debug, Default)]
struct Sockets(Mutex<HashMap<String, Socket>>);

#[derive(Debug)]
struct Socket {
    behavior: SocketBehavior,
    attempts: usize,
    in_flight: bool,
    closed: bool,
    posts: Vec<Post>,
}

/// The status, the header by which the SDK tells errors apart, and an empty body.
type Reply = (StatusCode, [(&'static str, &'static str); 1], &'static str);

impl SocketBehavior {
    /// Accepts every post, each in `millis` milliseconds.
    #[must_use]
    pub fn accepts_in(millis: u64) -> Self {
        Self { delay: Duration::from_millis(millis), result: |_| PostResult::Accepted }
    }
}

impl ManagementStub {
    /// Starts it with these sockets.
    pub async fn start(sockets: &[(String, SocketBehavior)]) -> Self {
        let sockets = sockets.iter().map(|(id, behavior)| {
            let socket =
                Socket { behavior: *behavior, attempts: 0, in_flight: false, closed: false, posts: Vec::new() };
            (id.clone(), socket)
        });
        let sockets = Arc::new(Sockets(Mutex::new(sockets.collect())));
        let router = Router::new()
            .route("/@connections/{id}", post(post_to).delete(delete).get(get))
            .with_state(sockets.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, sockets }
    }

    /// The posts that arrived at a socket, in order.
    #[must_use]
    pub fn posts(&self, socket: &str) -> Vec<Post> {
        self.sockets.with(socket, |socket| socket.posts.clone())
    }

    /// How many posts to a socket were attempted.
    #[must_use]
    pub fn attempts(&self, socket: &str) -> usize {
        self.sockets.with(socket, |socket| socket.attempts)
    }

    /// Whether a socket was closed.
    #[must_use]
    pub fn is_closed(&self, socket: &str) -> bool {
        self.sockets.with(socket, |socket| socket.closed)
    }
}

impl Sockets {
    fn with<T>(&self, id: &str, read: impl FnOnce(&mut Socket) -> T) -> T {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read(sockets.get_mut(id).unwrap_or_else(|| panic!("unknown socket: {id}")))
    }
}

/// The functions' client of `@connections` at this address.
#[must_use]
pub fn management_client(url: &str) -> aws_sdk_apigatewaymanagement::Client {
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("local", "local", None, None, "test")))
        .timeout_config(shared::runtime::aws::timeouts())
        .build();
    shared::runtime::aws::management_api(&config, url.to_owned())
}

async fn post_to(State(sockets): State<Arc<Sockets>>, Path(id): Path<String>, body: String) -> Reply {
    let began = Instant::now();
    let (delay, result) = sockets.with(&id, |socket| {
        assert!(!socket.in_flight, "two posts to {id} at the same time");
        let result = match socket.closed {
            true => PostResult::Refused(StatusCode::GONE),
            false => (socket.behavior.result)(socket.attempts),
        };
        socket.attempts += 1;
        socket.in_flight = result != PostResult::NoResponse;
        (socket.behavior.delay, result)
    });
    if result == PostResult::NoResponse {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(delay).await;
    let status = sockets.with(&id, |socket| {
        socket.in_flight = false;
        match result {
            PostResult::Refused(status) => status,
            _ => {
                let event = serde_json::from_str(&body).expect("events are JSON");
                documents::check_event(&event);
                socket.posts.push(Post { began, bytes: body.len(), event });
                StatusCode::OK
            }
        }
    });
    reply(status)
}

async fn get(State(sockets): State<Arc<Sockets>>, Path(id): Path<String>) -> Reply {
    let sockets = sockets.0.lock().unwrap_or_else(PoisonError::into_inner);
    let status = match sockets.get(&id) {
        Some(socket) if socket.closed => StatusCode::GONE,
        Some(_) => StatusCode::OK,
        // A test did not say whether this socket is open.
        None => StatusCode::INTERNAL_SERVER_ERROR,
    };
    reply(status)
}

async fn delete(State(sockets): State<Arc<Sockets>>, Path(id): Path<String>) -> StatusCode {
    sockets.with(&id, |socket| socket.closed = true);
    StatusCode::NO_CONTENT
}

fn reply(status: StatusCode) -> Reply {
    let error = match status {
        StatusCode::GONE => "GoneException",
        StatusCode::TOO_MANY_REQUESTS => "LimitExceededException",
        _ => "",
    };
    (status, [("x-amzn-errortype", error)], "{}")
}
