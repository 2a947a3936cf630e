//! A gateway and a Lambda Invoke API whose invocations the test receives and responds to, one at a time.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use aws_sdk_apigatewaymanagement::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use axum::{
    Router,
    body::Bytes,
    extract::{Path as UrlPath, State},
    http::StatusCode,
    routing::post,
};
use futures_util::{SinkExt as _, StreamExt as _};
use gateway::{Gateway, GatewayError, Options, template::Template};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

pub(crate) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An invocation in progress. Dropping it leaves it without a response.
pub(crate) struct Invocation {
    pub(crate) function: String,
    pub(crate) event: Value,
    response: oneshot::Sender<(StatusCode, String)>,
}

impl Invocation {
    pub(crate) fn respond(self, payload: &Value) {
        self.send(StatusCode::OK, payload.to_string());
    }

    pub(crate) fn succeed(self) {
        self.respond(&json!({ "statusCode": 200 }));
    }

    pub(crate) fn fail(self) {
        let error = json!({ "errorType": "TestError", "errorMessage": "secret" });
        self.send(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    }

    pub(crate) fn send(self, status: StatusCode, body: String) {
        self.response.send((status, body)).unwrap();
    }

    pub(crate) fn context(&self, key: &str) -> &Value {
        &self.event["requestContext"][key]
    }
}

/// A Lambda Invoke API.
pub(crate) struct Lambda {
    pub(crate) endpoint: String,
    invocations: mpsc::UnboundedReceiver<Invocation>,
}

impl Lambda {
    pub(crate) async fn start() -> Self {
        let (sender, invocations) = mpsc::unbounded_channel();
        let app = Router::new()
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(sender);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, invocations }
    }

    pub(crate) async fn next(&mut self) -> Invocation {
        self.invocations.recv().await.unwrap()
    }

    /// Receives the next invocation and asserts its function.
    pub(crate) async fn expect(&mut self, function: &str) -> Invocation {
        let invocation = self.next().await;
        assert_eq!(invocation.function, function);
        invocation
    }

    pub(crate) fn assert_no_invocation(&mut self) {
        if let Ok(invocation) = self.invocations.try_recv() {
            panic!("{} was invoked", invocation.function);
        }
    }
}

async fn invoke(
    State(invocations): State<mpsc::UnboundedSender<Invocation>>,
    UrlPath(function): UrlPath<String>,
    event: Bytes,
) -> (StatusCode, String) {
    let (response, responded) = oneshot::channel();
    let event = serde_json::from_slice(&event).unwrap();
    // Fails after the end of the test.
    let _ = invocations.send(Invocation { function, event, response });
    match responded.await {
        Ok(response) => response,
        Err(_) => std::future::pending().await,
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) struct Stack {
    pub(crate) lambda: Lambda,
    pub(crate) address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), GatewayError>>,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::with_options(|_| {}).await
    }

    pub(crate) async fn with_options(configure: impl FnOnce(&mut Options)) -> Self {
        Self::with_template(&Template::load(&fixture("basic.yaml"), &BTreeMap::new()).unwrap(), configure).await
    }

    pub(crate) async fn with_template(template: &Template, configure: impl FnOnce(&mut Options)) -> Self {
        let lambda = Lambda::start().await;
        let mut options = options(&lambda);
        configure(&mut options);
        let gateway = Gateway::bind(template, options).await.unwrap();
        let address = gateway.address();
        let (shutdown, stop) = oneshot::channel();
        let serving = tokio::spawn(gateway.serve(async move {
            let _ = stop.await;
        }));
        Self { lambda, address, shutdown, serving }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request in a task, so that the test can respond to its invocation.
    pub(crate) fn send(&self, request: reqwest::RequestBuilder) -> JoinHandle<reqwest::Response> {
        tokio::spawn(async move { request.send().await.unwrap() })
    }

    pub(crate) fn get(&self, path: &str) -> JoinHandle<reqwest::Response> {
        self.send(http().get(self.url(path)))
    }

    pub(crate) fn handshake(
        &self,
        query: &str,
    ) -> JoinHandle<Result<(Client, http::Response<()>), tokio_tungstenite::tungstenite::Error>> {
        let url = format!("ws://{}/ws/things{query}", self.address);
        tokio::spawn(async move {
            let (client, response) = tokio_tungstenite::connect_async(url).await?;
            Ok((client, response.map(|_| ())))
        })
    }

    /// Opens a connection. Returns its client and its connection id.
    pub(crate) async fn connect(&mut self) -> (Client, String) {
        let handshake = self.handshake("");
        let connect = self.lambda.expect("connect").await;
        let id = connect.context("connectionId").as_str().unwrap().to_owned();
        connect.succeed();
        let (mut client, _) = handshake.await.unwrap().unwrap();
        // The client may finish the handshake before the gateway registers the connection.
        self.round_trip(&mut client).await;
        (client, id)
    }

    /// Sends a message and waits for its invocation.
    pub(crate) async fn round_trip(&mut self, client: &mut Client) {
        send(client, "hello").await;
        self.lambda.expect("message").await.succeed();
    }

    pub(crate) fn management(&self) -> aws_sdk_apigatewaymanagement::Client {
        let config = aws_sdk_apigatewaymanagement::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.url(""))
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .build();
        aws_sdk_apigatewaymanagement::Client::from_conf(config)
    }

    pub(crate) async fn stop(self) -> Lambda {
        self.shutdown.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
        self.lambda
    }
}

pub(crate) fn options(lambda: &Lambda) -> Options {
    Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        invoke_endpoint: lambda.endpoint.clone(),
        websocket_path: "/ws/things".to_owned(),
        ..Options::default()
    }
}

pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(crate) async fn send(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.unwrap();
}

/// Receives the next frame, which must be text.
pub(crate) async fn text(client: &mut Client) -> String {
    match client.next().await {
        Some(Ok(Message::Text(text))) => text.to_string(),
        other => panic!("expected a text frame, got {other:?}"),
    }
}

/// Receives frames up to the close frame. Returns its code.
pub(crate) async fn close_code(client: &mut Client) -> u16 {
    loop {
        match client.next().await {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    }
}
