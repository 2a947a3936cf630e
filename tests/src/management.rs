//! The management API of a WebSocket API, `@connections`, that behaves as a test tells it: slow, short of capacity, gone.

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

/// How a socket takes what is posted to it.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How long each post takes.
    pub delay: Duration,
    /// What each post gets, by its number.
    pub answer: fn(usize) -> Answer,
}

/// What a post gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It arrives.
    Taken,
    /// A status, and the post does not arrive.
    Refused(StatusCode),
    /// Nothing, for as long as anyone waits.
    Silence,
}

/// A post that arrived.
#[derive(Clone, Debug)]
pub struct Post {
    /// When it was begun.
    pub began: Instant,
    /// How many bytes it had.
    pub bytes: usize,
    /// What it said.
    pub event: Value,
}

/// A running management API. It ends with the runtime that it was started on.
#[derive(Debug)]
pub struct ManagementApi {
    /// Its address.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sockets: Mutex<HashMap<String, Socket>>,
}

#[derive(Debug)]
struct Socket {
    manner: Manner,
    tries: usize,
    under_way: bool,
    closed: bool,
    posts: Vec<Post>,
}

impl Manner {
    /// Takes everything, each post in `millis` milliseconds.
    #[must_use]
    pub fn takes(millis: u64) -> Self {
        Self { delay: Duration::from_millis(millis), answer: |_| Answer::Taken }
    }
}

impl ManagementApi {
    /// Starts it with these sockets.
    pub async fn start(sockets: &[(String, Manner)]) -> Self {
        let sockets = sockets.iter().map(|(id, manner)| {
            let socket = Socket { manner: *manner, tries: 0, under_way: false, closed: false, posts: Vec::new() };
            (id.clone(), socket)
        });
        let shared = Arc::new(Shared { sockets: Mutex::new(sockets.collect()) });
        let router = Router::new()
            .route("/@connections/{id}", post(posted).delete(closed).get(looked))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// What arrived at a socket, in order.
    #[must_use]
    pub fn posts(&self, socket: &str) -> Vec<Post> {
        self.shared.with(socket, |socket| socket.posts.clone())
    }

    /// How often it was tried to post to a socket.
    #[must_use]
    pub fn tries(&self, socket: &str) -> usize {
        self.shared.with(socket, |socket| socket.tries)
    }

    /// Whether a socket was closed.
    #[must_use]
    pub fn is_closed(&self, socket: &str) -> bool {
        self.shared.with(socket, |socket| socket.closed)
    }
}

impl Shared {
    fn with<T>(&self, id: &str, look: impl FnOnce(&mut Socket) -> T) -> T {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        look(sockets.get_mut(id).unwrap_or_else(|| panic!("nobody told of the socket {id}")))
    }
}

/// The functions' client of a management API at this address.
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

async fn posted(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let began = Instant::now();
    let (delay, answer) = shared.with(&id, |socket| {
        assert!(!socket.under_way, "two posts to {id} at once");
        let answer = (socket.manner.answer)(socket.tries);
        socket.tries += 1;
        socket.under_way = answer != Answer::Silence;
        (socket.manner.delay, answer)
    });
    if answer == Answer::Silence {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(delay).await;
    let status = shared.with(&id, |socket| {
        socket.under_way = false;
        match answer {
            Answer::Refused(status) => status,
            _ => {
                let event = serde_json::from_str(&body).expect("events are JSON");
                documents::check_event(&event);
                socket.posts.push(Post { began, bytes: body.len(), event });
                StatusCode::OK
            }
        }
    });
    // By this the SDK tells one error from another.
    let name = match status {
        StatusCode::GONE => "GoneException",
        StatusCode::TOO_MANY_REQUESTS => "LimitExceededException",
        _ => "",
    };
    (status, [("x-amzn-errortype", name)])
}

async fn looked(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    let sockets = shared.sockets.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, name) = match sockets.get(&id) {
        Some(socket) if socket.closed => (StatusCode::GONE, "GoneException"),
        Some(_) => (StatusCode::OK, ""),
        // Nobody told of it, so nobody knows.
        None => (StatusCode::INTERNAL_SERVER_ERROR, ""),
    };
    (status, [("x-amzn-errortype", name)], "{}")
}

async fn closed(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> StatusCode {
    shared.with(&id, |socket| socket.closed = true);
    StatusCode::NO_CONTENT
}
