//! A proxy in front of DynamoDB, or of `@connections`. It writes down what passes, which is what the functions' SDK
//! clients really send; and it lets a test say what goes wrong on the way: call by call, so that the same test always
//! meets the same faults, or by the weather.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use crate::{
    refusal::{self, Language},
    storm::Storm,
};

/// How much longer an answer takes: calls that are made at once are under way at once, however busy the machine is.
const DELAY: Duration = Duration::from_millis(100);

/// A running proxy. It ends with the runtime that it was started on.
#[derive(Debug)]
pub struct Proxy {
    /// Its address.
    pub url: String,
    log: Arc<Log>,
    upstream: Arc<Upstream>,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another transaction holds an item. DynamoDB Local never says so.
    TransactionConflict,
    /// The table, or the account, has no capacity left.
    Throttled,
    /// More calls come in than the table was made ready for.
    TooFast,
    /// The service fails.
    ServerError,
    /// The answer takes two seconds longer.
    Stall,
    /// The connection ends before the request has reached the service.
    LostRequest,
    /// The service has done what was asked, but the connection ends before its answer has arrived.
    LostAnswer,
}

/// What goes wrong with the calls for which nothing was injected.
#[derive(Debug, Default)]
pub enum Weather {
    /// Nothing.
    #[default]
    Calm,
    /// Some of them meet a fault.
    Storm(Storm),
    /// The service cannot be reached: connections end.
    Away,
    /// Nobody ever hears of the service again.
    Silent,
}

/// What has passed, and what is to go wrong.
#[derive(Debug, Default)]
struct Log {
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Vec<(String, Fault)>>,
    weather: Mutex<Weather>,
}

/// How long a stall lasts: less than the SDK waits for an answer.
const STALL: Duration = Duration::from_secs(2);

/// What becomes of a call.
enum Course {
    Undisturbed,
    Meets(Fault),
    Vanishes,
}

#[derive(Clone, Debug)]
struct Call {
    operation: String,
    began: Instant,
    ended: Instant,
}

#[derive(Debug)]
struct Upstream {
    language: Language,
    /// Nothing stands there until somebody says what.
    url: Mutex<Option<String>>,
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
    /// Starts a proxy in front of the DynamoDB at `url` that takes its time, so that round trips can be told apart.
    pub async fn start(url: &str) -> Self {
        Self::begin(Language::DynamoDb, Some(url.to_owned()), DELAY).await
    }

    /// Starts a proxy in front of the DynamoDB at `url` that does not.
    pub async fn without_delay(url: &str) -> Self {
        Self::begin(Language::DynamoDb, Some(url.to_owned()), Duration::ZERO).await
    }

    /// Starts a proxy in front of the management API of a gateway that is still to be started: until it is
    /// [told](Self::lead_to) where that is, every socket is gone.
    pub async fn of_sockets() -> Self {
        Self::begin(Language::Management, None, Duration::ZERO).await
    }

    async fn begin(language: Language, url: Option<String>, delay: Duration) -> Self {
        let log: Arc<Log> = Arc::default();
        let http = reqwest::Client::new();
        let upstream = Arc::new(Upstream { language, url: Mutex::new(url), http, delay, log: log.clone() });
        let serving = upstream.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = serving.clone();
                let service = service_fn(move |request| {
                    let upstream = upstream.clone();
                    async move { upstream.forward(request).await }
                });
                // An error of the service ends the connection without an answer.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, log, upstream }
    }

    /// Says what the proxy stands in front of.
    pub fn lead_to(&self, url: &str) {
        *lock(&self.upstream.url) = Some(url.to_owned());
    }

    /// Lets the weather change. What is under way stays as it is.
    pub fn turn(&self, weather: Weather) {
        *lock(&self.log.weather) = weather;
    }

    /// Lets the next calls of an operation go wrong, so many of them; all, or only those on one table, such as `Query
    /// ChatsTable`. What is injected first comes first.
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
        let operation = self.language.operation(&parts);
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let asked = body.clone();
        let url = lock(&self.url).clone();
        let grant = async {
            match url {
                Some(url) => forward(&self.http, parts.method, format!("{url}{path}"), &parts.headers, body).await,
                None => refusal::gone(),
            }
        };
        let answer = match self.log.course(&operation, &self.language.table(&asked)) {
            Course::Undisturbed => Ok(grant.await),
            Course::Vanishes => std::future::pending().await,
            Course::Meets(Fault::Stall) => {
                tokio::time::sleep(STALL).await;
                Ok(grant.await)
            }
            Course::Meets(Fault::LostRequest) => Err(Lost),
            Course::Meets(Fault::LostAnswer) => {
                grant.await;
                Err(Lost)
            }
            Course::Meets(fault) => Ok(self.language.refusal(fault, &asked)),
        };
        tokio::time::sleep(self.delay).await;
        lock(&self.log.calls).push(Call { operation, began, ended: Instant::now() });
        answer
    }
}

/// Passes a call on to DynamoDB.
pub async fn pass_on(http: &reqwest::Client, url: &str, headers: &HeaderMap, body: Bytes) -> Response<Body> {
    forward(http, Method::POST, url.to_owned(), headers, body).await
}

async fn forward(
    http: &reqwest::Client,
    method: Method,
    url: String,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut request = http.request(method, url).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length")) {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("the service answers");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.expect("the service answers"))).expect("a response")
}

impl Log {
    /// What becomes of the next call of this operation on this table.
    fn course(&self, operation: &str, table: &str) -> Course {
        let on_table = format!("{operation} {table}");
        let mut faults = lock(&self.faults);
        if let Some(place) = faults.iter().position(|(injected, _)| injected == operation || *injected == on_table) {
            return Course::Meets(faults.remove(place).1);
        }
        match &mut *lock(&self.weather) {
            Weather::Calm => Course::Undisturbed,
            Weather::Storm(storm) => storm.next().map_or(Course::Undisturbed, Course::Meets),
            Weather::Away => Course::Meets(Fault::LostRequest),
            Weather::Silent => Course::Vanishes,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
