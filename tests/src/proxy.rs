//! A proxy in front of DynamoDB. It writes down what passes, which is what the functions' SDK clients really send; and
//! it lets a test say what goes wrong on the way, call by call, so that the same test always meets the same faults.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, Response, StatusCode},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// How much longer an answer takes: calls that are made at once are under way at once, however busy the machine is.
const DELAY: Duration = Duration::from_millis(100);

/// A running proxy. It ends with the runtime that it was started on.
#[derive(Debug)]
pub struct Proxy {
    /// Its address.
    pub url: String,
    log: Arc<Log>,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another transaction holds an item. DynamoDB Local never says so.
    TransactionConflict,
    /// The table has no capacity left.
    Throttled,
    /// DynamoDB fails.
    ServerError,
    /// The connection ends before the request has reached DynamoDB.
    LostRequest,
    /// DynamoDB has done what was asked, but the connection ends before its answer has arrived.
    LostAnswer,
}

/// What has passed, and what is to go wrong.
#[derive(Debug, Default)]
struct Log {
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Vec<(String, Fault)>>,
}

#[derive(Clone, Debug)]
struct Call {
    operation: String,
    began: Instant,
    ended: Instant,
}

#[derive(Debug)]
struct Upstream {
    url: String,
    http: reqwest::Client,
    delay: Duration,
    log: Arc<Log>,
}

/// The connection ends here.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lost")
    }
}

impl std::error::Error for Lost {}

impl Proxy {
    /// Starts a proxy in front of `url` that takes its time, so that round trips can be told apart.
    pub async fn start(url: &str) -> Self {
        Self::with_delay(url, DELAY).await
    }

    /// Starts a proxy in front of `url` that does not.
    pub async fn without_delay(url: &str) -> Self {
        Self::with_delay(url, Duration::ZERO).await
    }

    async fn with_delay(url: &str, delay: Duration) -> Self {
        let log: Arc<Log> = Arc::default();
        let upstream = Upstream { url: url.to_owned(), http: reqwest::Client::new(), delay, log: log.clone() };
        let upstream = Arc::new(upstream);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = upstream.clone();
                let service = service_fn(move |request| {
                    let upstream = upstream.clone();
                    async move { upstream.forward(request).await }
                });
                // An error of the service ends the connection without an answer.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, log }
    }

    /// Lets the next calls of an operation go wrong, so many of them. What is injected first comes first.
    pub fn inject(&self, operation: &str, times: usize, fault: Fault) {
        lock(&self.log.faults).extend(std::iter::repeat_n((operation.to_owned(), fault), times));
    }

    /// How many of the injected faults nobody has met yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        lock(&self.log.faults).len()
    }

    /// What has passed since the last call, call by call.
    #[must_use]
    pub fn take_all(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.log.calls)).into_iter().map(|call| call.operation).collect()
    }

    /// What has passed since the last call: the round trips one after the other, in each the operations that were under
    /// way at the same time.
    #[must_use]
    pub fn take(&self) -> Vec<BTreeSet<String>> {
        let mut calls = std::mem::take(&mut *lock(&self.log.calls));
        calls.sort_by_key(|call| call.began);
        let mut trips: Vec<(Instant, BTreeSet<String>)> = Vec::new();
        for call in calls {
            match trips.last_mut() {
                Some((ended, operations)) if call.began < *ended => {
                    operations.insert(call.operation);
                    *ended = call.ended.max(*ended);
                }
                _ => trips.push((call.ended, BTreeSet::from([call.operation]))),
            }
        }
        trips.into_iter().map(|(_, operations)| operations).collect()
    }
}

impl Upstream {
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Lost> {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.map_err(|_| Lost)?;
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let answer = match self.log.fault(&operation) {
            None => Ok(pass_on(&self.http, &self.url, &parts.headers, body).await),
            Some(Fault::LostRequest) => Err(Lost),
            Some(Fault::LostAnswer) => {
                pass_on(&self.http, &self.url, &parts.headers, body).await;
                Err(Lost)
            }
            Some(Fault::TransactionConflict) => Ok(conflict(&body)),
            Some(Fault::Throttled) => Ok(refusal(
                StatusCode::BAD_REQUEST,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                json!({}),
            )),
            Some(Fault::ServerError) => Ok(refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                json!({}),
            )),
        };
        tokio::time::sleep(self.delay).await;
        lock(&self.log.calls).push(Call { operation, began, ended: Instant::now() });
        answer
    }
}

/// Passes a call on to DynamoDB.
pub async fn pass_on(http: &reqwest::Client, url: &str, headers: &HeaderMap, body: Bytes) -> Response<Body> {
    let mut request = http.post(url).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length")) {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("DynamoDB answers");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.expect("DynamoDB answers"))).expect("a response")
}

impl Log {
    /// Takes the next fault that a call of this operation is to meet.
    fn fault(&self, operation: &str) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let place = faults.iter().position(|(injected, _)| injected == operation)?;
        Some(faults.remove(place).1)
    }
}

/// How DynamoDB says that another transaction holds an item: to a transaction in its own way.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
fn conflict(request: &[u8]) -> Response<Body> {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let Some(items) = request["TransactItems"].as_array() else {
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionConflictException";
        return refusal(StatusCode::BAD_REQUEST, kind, json!({}));
    };
    let reasons: Vec<Value> = (0..items.len())
        .map(|place| json!({ "Code": if place == 0 { "TransactionConflict" } else { "None" } }))
        .collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    refusal(StatusCode::BAD_REQUEST, kind, json!({ "CancellationReasons": reasons }))
}

fn refusal(status: StatusCode, kind: &str, mut body: Value) -> Response<Body> {
    body["__type"] = kind.into();
    body["message"] = "injected".into();
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
    response.body(Body::from(body.to_string())).expect("a response")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
