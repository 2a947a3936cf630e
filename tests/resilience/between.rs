//! A proxy in front of DynamoDB, and of the management API, at which a test does something between two calls of a
//! function: so that a race is not a matter of luck.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tests::pass_on;

/// What becomes of the answer to a call that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives.
    Arrives,
    /// It is lost: the caller is told of an error.
    Lost,
    /// It comes to nothing: the call is refused, and not carried out.
    Refused,
}

/// A running proxy. It ends with the runtime that it was started on.
#[derive(Clone)]
pub(crate) struct Between {
    /// Its address.
    pub(crate) url: String,
    posts: Arc<Mutex<Vec<(Method, Value)>>>,
}

#[derive(Clone)]
struct Proxy {
    upstream: String,
    http: reqwest::Client,
    posts: Arc<Mutex<Vec<(Method, Value)>>>,
    then: Arc<dyn Fn(String) -> BoxFuture<'static, Fate> + Send + Sync>,
    /// One call at a time: what a test does is done when the next one passes.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Between {
    /// Starts a proxy in front of the DynamoDB at `upstream`. Before each call is carried out, `then` is told its
    /// operation, does what it wants to, and says what becomes of the answer.
    pub(crate) async fn start<F>(upstream: &str, then: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Fate> + Send + 'static,
    {
        let posts = Arc::<Mutex<Vec<_>>>::default();
        let then: Arc<dyn Fn(String) -> BoxFuture<'static, Fate> + Send + Sync> =
            Arc::new(move |operation| then(operation).boxed());
        let (http, posts_here, turn) = (reqwest::Client::new(), posts.clone(), Arc::default());
        let proxy = Proxy { upstream: upstream.to_owned(), http, posts: posts_here, then, turn };
        let router = Router::new().fallback(attempt).with_state(proxy);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, posts }
    }

    /// What sockets were told, and that they were closed (`DELETE`), in order.
    pub(crate) fn posts(&self) -> Vec<(Method, Value)> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn attempt(
    State(proxy): State<Proxy>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if uri.path().starts_with("/@connections/") {
        let event = serde_json::from_slice(&body).unwrap_or_default();
        proxy.posts.lock().unwrap_or_else(PoisonError::into_inner).push((method, event));
        return Response::new(Body::empty());
    }
    let _turn = proxy.turn.lock().await;
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let fate = (proxy.then)(target.rsplit('.').next().unwrap_or_default().to_owned()).await;
    let answer = match fate {
        Fate::Refused => None,
        Fate::Arrives | Fate::Lost => Some(pass_on(&proxy.http, &proxy.upstream, &headers, body).await),
    };
    answer.filter(|_| fate == Fate::Arrives).unwrap_or_else(|| {
        let error = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#;
        let response = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
        response.header("content-type", "application/x-amz-json-1.0").body(Body::from(error)).expect("a response")
    })
}
