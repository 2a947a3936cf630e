//! Lambda for one function's process: the Runtime API, and freezing between events.
//!
//! Lambda freezes a process when its runtime asks for the next event and none is there, and thaws it for the next one.
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{Response, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};
use shared::domain::{id::ConnectionId, time::Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::{Options, Stack, documents};

/// One function's process with its Lambda environment.
#[derive(Debug)]
pub struct LambdaRuntime {
    process: Child,
    events: mpsc::UnboundedSender<Value>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The process to freeze and thaw.
    pid: Mutex<Option<u32>>,
    posted: Mutex<Vec<Value>>,
    responses: Mutex<Vec<Value>>,
    refuses_posts: AtomicBool,
    changed: Notify,
}

#[derive(Clone)]
struct Api {
    shared: Arc<Shared>,
    events: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>>,
    deadline: Duration,
}

/// The event of a frame that API Gateway received at this time.
#[must_use]
pub fn frame_event(connection: &ConnectionId, received_at: Timestamp, frame: &Value) -> Value {
    json!({
        "requestContext": {
            "routeKey": "$default", "eventType": "MESSAGE", "connectionId": connection.as_str(), "requestId": "r",
            "connectedAt": 0, "requestTimeEpoch": received_at.as_millis(), "messageId": "m",
        },
        "body": frame.to_string(),
        "isBase64Encoded": false,
    })
}

impl LambdaRuntime {
    /// Starts a function of the stack with the stack's tables and this further environment. `deadline` is that of each event.
    pub async fn start(stack: &Stack, function: &str, deadline: Duration, environment: &[(&str, &str)]) -> Self {
        let (events, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let api = Api { shared: shared.clone(), events: Arc::new(tokio::sync::Mutex::new(receiver)), deadline };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(respond))
            .route("/@connections/{id}", post(post_to))
            .with_state(api);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let process = Command::new(Options::binaries().target.join("debug").join(function))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", function),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamodb_endpoint()),
                ("MANAGEMENT_ENDPOINT", address.as_str()),
                ("TENANTS_TABLE", "TenantsTable"),
                ("CHATS_TABLE", "ChatsTable"),
                ("CONNECTIONS_TABLE", "ConnectionsTable"),
                ("DEFAULT_AGENT", "echo"),
                ("CONFIGURED_AGENTS", "echo"),
                ("MAX_TOKENS", "4096"),
                ("ECHO_TOKENS_PER_SECOND", "0"),
                ("CONTEXT_TOKENS", "8000"),
                ("FRAME_INTERVAL_MS", "100"),
                ("GENERATIONS_PER_TENANT", "50"),
                ("MESSAGES_PER_MINUTE", "600"),
                ("TOKENS_PER_DAY", "none"),
                ("TOKENS_PER_MONTH", "none"),
                ("CONNECTS_PER_MINUTE", "300"),
                ("CONNECTIONS_PER_CHAT", "10"),
            ])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .expect("the function runs");
        *shared.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.id());
        Self { process, events, shared }
    }

    /// Sends an event to the function.
    pub fn send(&self, event: Value) {
        self.events.send(event).expect("the function runs");
    }

    /// Waits for this many responses; returns all.
    pub async fn responses(&self, count: usize) -> Vec<Value> {
        self.until(|shared| {
            let responses = shared.responses.lock().unwrap_or_else(PoisonError::into_inner);
            (responses.len() >= count).then(|| responses.clone())
        })
        .await
    }

    /// Waits until an event of this type is posted to a socket; returns all posted events.
    pub async fn posted(&self, kind: &str) -> Vec<Value> {
        self.until(|shared| {
            let posted = shared.posted.lock().unwrap_or_else(PoisonError::into_inner);
            posted.iter().any(|event| event["type"] == kind).then(|| posted.clone())
        })
        .await
    }

    /// Stops the process where it is, as a lost machine does.
    pub fn stop(&self) {
        self.shared.signal("-STOP");
    }

    /// Lets the process continue.
    pub fn resume(&self) {
        self.shared.signal("-CONT");
    }

    /// Makes all posts to sockets fail, or no longer.
    pub fn refuse_posts(&self, refuse: bool) {
        self.shared.refuses_posts.store(refuse, Ordering::SeqCst);
    }

    /// The events posted so far.
    #[must_use]
    pub fn posted_so_far(&self) -> Vec<Value> {
        self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn until<T>(&self, find: impl Fn(&Shared) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.shared.changed.notified();
                if let Some(found) = find(&self.shared) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| {
            let posted = self.shared.posted.lock().unwrap_or_else(PoisonError::into_inner);
            panic!("timed out; posted so far: {posted:#?}")
        })
    }
}

impl Drop for LambdaRuntime {
    fn drop(&mut self) {
        // A stopped process does not handle a softer signal.
        self.process.kill().expect("the process can be killed");
        self.process.wait().expect("the process can be waited for");
    }
}

impl Shared {
    fn signal(&self, name: &str) {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pid) = pid else { return };
        let sent = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status();
        assert!(sent.is_ok(), "kill runs");
    }
}

async fn next(State(api): State<Api>) -> Response<Body> {
    // Lambda freezes the process between events.
    api.shared.signal("-STOP");
    let event = api.events.lock().await.recv().await;
    api.shared.signal("-CONT");
    let Some(event) = event else { return Response::new(Body::empty()) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Response::builder()
        .header("lambda-runtime-aws-request-id", shared::domain::id::MessageId::generate().as_str())
        .header("lambda-runtime-deadline-ms", (now + api.deadline).as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:f")
        .body(Body::from(event.to_string()))
        .expect("a response")
}

async fn respond(State(api): State<Api>, Path(_): Path<String>, body: String) -> StatusCode {
    let response = serde_json::from_str(&body).unwrap_or(json!(body));
    api.shared.responses.lock().unwrap_or_else(PoisonError::into_inner).push(response);
    api.shared.changed.notify_waiters();
    StatusCode::ACCEPTED
}

async fn post_to(State(api): State<Api>, Path(_): Path<String>, body: String) -> StatusCode {
    if api.shared.refuses_posts.load(Ordering::SeqCst) {
        return StatusCode::TOO_MANY_REQUESTS;
    }
    let event = serde_json::from_str(&body).expect("events are JSON");
    documents::check_event(&event);
    api.shared.posted.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    api.shared.changed.notify_waiters();
    StatusCode::OK
}
