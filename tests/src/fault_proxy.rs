//! A proxy in front of DynamoDB, or of `@connections`. It records what the functions' SDK clients send, and makes calls fail:
//! one call by name, all by a [profile](FaultProfile), or any call that a test's hook chooses.

use std::{
    collections::BTreeSet,
    fmt::{Debug, Display, Formatter},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use crate::{
    FaultProfile,
    fault_response::{self, Protocol},
};

/// The delay that lets round trips be told apart: simultaneous calls overlap, however busy the machine is.
const DELAY: Duration = Duration::from_millis(100);

/// How long a stall lasts: less than the SDK's timeout.
const STALL: Duration = Duration::from_secs(2);

/// The gap between two calls after which [`FaultProxy::wait_until_idle`] expects no more.
const QUIET: Duration = Duration::from_millis(300);

/// A running proxy. It ends with the runtime that it was started on.
#[derive(Clone, Debug)]
pub struct FaultProxy {
    /// Its address.
    pub url: String,
    upstream: Arc<Upstream>,
}

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another transaction holds an item. DynamoDB Local never reports this.
    TransactionConflict,
    /// The table, or the account, has no capacity left.
    Throttled,
    /// Calls arrive faster than the table scales.
    TooFast,
    /// The service fails, without carrying out the call.
    ServerError,
    /// The response takes two seconds longer.
    Stall,
    /// The connection ends before the request reaches the service.
    LostRequest,
    /// The service carries out the call, but the connection ends before the response arrives.
    LostResponse,
}

/// Runs before each call with its operation; chooses its fault.
type Hook = Box<dyn Fn(String) -> BoxFuture<'static, Option<Fault>> + Send + Sync>;

/// What happens to a call.
enum Treatment {
    Forward,
    Fail(Fault),
    NeverRespond,
}

#[derive(Clone, Debug)]
struct Call {
    operation: String,
    began: Instant,
    ended: Instant,
}

struct Upstream {
    protocol: Protocol,
    /// `None` until [`FaultProxy::forward_to`].
    url: Mutex<Option<String>>,
    http: reqwest::Client,
    delay: Duration,
    /// With a hook calls run one at a time: what the hook does is done before the next call.
    hook: Option<(Hook, tokio::sync::Mutex<()>)>,
    in_flight: AtomicUsize,
    calls: Mutex<Vec<Call>>,
    injected: Mutex<Vec<(String, Fault)>>,
    profile: Mutex<FaultProfile>,
}

/// Counts a call, until it ends or its client gives up.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn start(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends the connection.
#[derive(Debug)]
struct ConnectionLost;

impl Display for ConnectionLost {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection lost")
    }
}

impl std::error::Error for ConnectionLost {}

impl Debug for Upstream {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("protocol", &self.protocol).field("url", &self.url).finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Starts a proxy in front of the DynamoDB at `url`.
    pub async fn start(url: &str) -> Self {
        Self::serve(Protocol::DynamoDb, Some(url.to_owned()), Duration::ZERO, None).await
    }

    /// Starts a proxy in front of the DynamoDB at `url` that delays responses, so that round trips can be told apart.
    pub async fn start_delayed(url: &str) -> Self {
        Self::serve(Protocol::DynamoDb, Some(url.to_owned()), DELAY, None).await
    }

    /// Starts a proxy in front of the DynamoDB at `url` with a hook: it runs before each call, one call at a time, and
    /// chooses the call's fault. So a test decides a race.
    pub async fn start_with_hook<F>(url: &str, hook: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Fault>> + Send + 'static,
    {
        let hook: Hook = Box::new(move |operation| hook(operation).boxed());
        Self::serve(Protocol::DynamoDb, Some(url.to_owned()), Duration::ZERO, Some(hook)).await
    }

    /// Starts a proxy in front of the `@connections` of a gateway that starts later. Until
    /// [`forward_to`](Self::forward_to) every connection is gone.
    pub async fn start_for_connections() -> Self {
        Self::serve(Protocol::Management, None, Duration::ZERO, None).await
    }

    async fn serve(protocol: Protocol, url: Option<String>, delay: Duration, hook: Option<Hook>) -> Self {
        let upstream = Arc::new(Upstream {
            protocol,
            url: Mutex::new(url),
            http: reqwest::Client::new(),
            delay,
            hook: hook.map(|hook| (hook, tokio::sync::Mutex::default())),
            in_flight: AtomicUsize::default(),
            calls: Mutex::default(),
            injected: Mutex::default(),
            profile: Mutex::default(),
        });
        let serving = upstream.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = serving.clone();
                let service = service_fn(move |request| {
                    let upstream = upstream.clone();
                    async move { upstream.handle(request).await }
                });
                // An error of the service ends the connection without a response.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, upstream }
    }

    /// Sets the service behind the proxy.
    pub fn forward_to(&self, url: &str) {
        *lock(&self.upstream.url) = Some(url.to_owned());
    }

    /// Sets the profile of later calls. Calls in flight continue as they began.
    pub fn set_profile(&self, profile: FaultProfile) {
        *lock(&self.upstream.profile) = profile;
    }

    /// Makes the next `times` calls of an operation fail; `Query ChatsTable` names those on one table. Faults injected
    /// first come first.
    pub fn inject(&self, operation: &str, times: usize, fault: Fault) {
        lock(&self.upstream.injected).extend(std::iter::repeat_n((operation.to_owned(), fault), times));
    }

    /// How many injected faults no call has met yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        lock(&self.upstream.injected).len()
    }

    /// Takes the recorded calls.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.upstream.calls)).into_iter().map(|call| call.operation).collect()
    }

    /// Waits until no call has been in flight for a while.
    pub async fn wait_until_idle(&self) {
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if self.upstream.in_flight.load(Ordering::SeqCst) > 0 {
                quiet_since = Instant::now();
            }
        }
    }

    /// Takes the recorded calls as sequential round trips, each with the operations that overlapped.
    #[must_use]
    pub fn take_round_trips(&self) -> Vec<BTreeSet<String>> {
        let mut calls = std::mem::take(&mut *lock(&self.upstream.calls));
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
    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Body>, ConnectionLost> {
        let began = Instant::now();
        let _in_flight = InFlight::start(&self.in_flight);
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.map_err(|_| ConnectionLost)?;
        let operation = self.protocol.operation(&parts);
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let request = body.clone();
        let url = lock(&self.url).clone();
        let forwarded = async {
            match url {
                Some(url) => forward(&self.http, parts.method, format!("{url}{path}"), &parts.headers, body).await,
                None => fault_response::gone(),
            }
        };
        let (treatment, _turn) = match &self.hook {
            None => (self.treatment(&operation, &self.protocol.table(&request)), None),
            Some((hook, turn)) => {
                let turn = turn.lock().await;
                let fault = hook(operation.clone()).await;
                (fault.map_or(Treatment::Forward, Treatment::Fail), Some(turn))
            }
        };
        let response = match treatment {
            Treatment::Forward => Ok(forwarded.await),
            Treatment::NeverRespond => std::future::pending().await,
            Treatment::Fail(Fault::Stall) => {
                tokio::time::sleep(STALL).await;
                Ok(forwarded.await)
            }
            Treatment::Fail(Fault::LostRequest) => Err(ConnectionLost),
            Treatment::Fail(Fault::LostResponse) => {
                forwarded.await;
                Err(ConnectionLost)
            }
            Treatment::Fail(fault) => Ok(self.protocol.refusal(fault, &request)),
        };
        tokio::time::sleep(self.delay).await;
        lock(&self.calls).push(Call { operation, began, ended: Instant::now() });
        response
    }

    /// What happens to the next call of this operation on this table.
    fn treatment(&self, operation: &str, table: &str) -> Treatment {
        let on_table = format!("{operation} {table}");
        let mut injected = lock(&self.injected);
        if let Some(place) = injected.iter().position(|(name, _)| name == operation || *name == on_table) {
            return Treatment::Fail(injected.remove(place).1);
        }
        match &mut *lock(&self.profile) {
            FaultProfile::Healthy => Treatment::Forward,
            FaultProfile::Random(faults) => faults.next().map_or(Treatment::Forward, Treatment::Fail),
            FaultProfile::Unreachable => Treatment::Fail(Fault::LostRequest),
            FaultProfile::Silent => Treatment::NeverRespond,
        }
    }
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
    let upstream = request.send().await.expect("the service responds");
    let mut response = Response::builder().status(upstream.status());
    for (name, value) in upstream.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    response.body(Body::from(upstream.bytes().await.expect("the service responds"))).expect("a response")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
