//! A proxy in front of DynamoDB that writes down what passes: what the functions' SDK clients really send.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response},
};

/// How much longer an answer takes: calls that are made at once are under way at once, however busy the machine is.
const DELAY: Duration = Duration::from_millis(100);

/// A running proxy. It ends with the runtime that it was started on.
#[derive(Debug)]
pub struct Proxy {
    /// Its address.
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

#[derive(Clone, Debug)]
struct Call {
    operation: String,
    began: Instant,
    ended: Instant,
}

#[derive(Clone)]
struct Upstream {
    url: String,
    http: reqwest::Client,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Proxy {
    /// Starts a proxy in front of `url`.
    pub async fn start(url: &str) -> Self {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let upstream = Upstream { url: url.to_owned(), http: reqwest::Client::new(), calls: calls.clone() };
        let router = Router::new().fallback(forward).with_state(upstream);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, calls }
    }

    /// What has passed since the last call: the round trips one after the other, in each the operations that were under
    /// way at the same time.
    #[must_use]
    pub fn take(&self) -> Vec<BTreeSet<String>> {
        let mut calls = std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner));
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

async fn forward(State(upstream): State<Upstream>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let began = Instant::now();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let mut request = upstream.http.post(&upstream.url).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length")) {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("DynamoDB answers");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    let body = answer.bytes().await.expect("DynamoDB answers");
    tokio::time::sleep(DELAY).await;
    let call = Call { operation, began, ended: Instant::now() };
    upstream.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    response.body(Body::from(body)).expect("a response")
}
