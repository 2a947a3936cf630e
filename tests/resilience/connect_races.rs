//! `$connect` when the chat, tenant or key changes between two of its calls, and when a call fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::domain::{api_key::ApiKey, id::ChatId, tenant::TenantStatus, time::Timestamp};
use tests::{Fault, FaultProxy, LambdaRuntime, ManagementStub, PostResult, SocketBehavior, Stack, Tenant, eventually};

const LONG: Duration = Duration::from_secs(30);

/// The event of a handshake.
fn handshake(tenant: &Tenant, chat: &str) -> Value {
    json!({
        "requestContext": {
            "routeKey": "$connect", "eventType": "CONNECT", "connectionId": format!("{}=", tenant.id),
            "requestId": "r", "connectedAt": 0, "requestTimeEpoch": 0,
        },
        "queryStringParameters": { "api_key": tenant.key, "user_id": "u", "chat_id": chat },
        "isBase64Encoded": false,
    })
}

/// A `ws-connect` behind a fault proxy, with its handshake sent.
struct Connecting {
    tenant: Tenant,
    lambda: LambdaRuntime,
    management: ManagementStub,
}

impl Connecting {
    async fn start(tenant: Tenant, chat: &str, proxy: &FaultProxy) -> Self {
        Self::start_with(tenant, chat, proxy, &[]).await
    }

    async fn start_with(tenant: Tenant, chat: &str, proxy: &FaultProxy, environment: &[(&str, &str)]) -> Self {
        let socket = (format!("{}=", tenant.id), SocketBehavior::accepts_in(0));
        let management = ManagementStub::start(&[socket]).await;
        let endpoints =
            [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()), ("MANAGEMENT_ENDPOINT", management.url.as_str())];
        let environment = [&endpoints, environment].concat();
        let lambda = LambdaRuntime::start(Stack::shared(), "ws-connect", LONG, &environment).await;
        lambda.send(handshake(&tenant, chat));
        Self { tenant, lambda, management }
    }

    async fn status(&self) -> Value {
        self.lambda.responses(1).await[0]["statusCode"].clone()
    }

    /// The events that the socket received.
    fn events(&self) -> Vec<Value> {
        self.management.posts(&self.socket()).into_iter().map(|post| post.event).collect()
    }

    /// Whether the socket was closed, after its last event.
    fn is_closed(&self) -> bool {
        self.management.is_closed(&self.socket())
            && self.management.attempts(&self.socket()) == self.management.posts(&self.socket()).len()
    }

    fn socket(&self) -> String {
        format!("{}=", self.tenant.id)
    }
}

/// Whether the tenant has neither a connection nor a slot.
async fn is_clean(tenant: &Tenant) -> bool {
    let connections = Stack::shared().connections();
    let stored = connections.list_by_tenant(&tenant.id).await.expect("DynamoDB responds");
    stored.is_empty() && connections.slots().list(&tenant.id).await.expect("DynamoDB responds").is_empty()
}

/// A change that makes the connection invalid.
#[derive(Clone, Copy)]
enum Change {
    Delete,
    Suspend,
    Revoke,
}

impl Change {
    async fn apply(self, tenant: &Tenant, chat: &ChatId) {
        let stack = Stack::shared();
        let applied = match self {
            Self::Delete => stack.chats().delete(&tenant.id, chat, Timestamp::now()).await,
            Self::Suspend => stack.tenants().set_status(&tenant.id, TenantStatus::Suspended).await,
            Self::Revoke => stack.tenants().revoke_key(&tenant.id, &ApiKey::new(&tenant.key).hash()).await,
        };
        assert!(applied.expect("DynamoDB responds"));
    }
}

/// Connects; the change happens right before the function's nth call of an operation. Returns the events up to the close.
async fn connect_during(name: &str, change: Change, operation: &'static str, call: usize) -> Vec<Value> {
    let stack = Stack::shared();
    let tenant = stack.tenant(name).await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("a chat");
    let (calls, changed) = (Arc::new(AtomicUsize::new(0)), (tenant.clone(), chat.clone()));
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |called| {
        let is_now = called == operation && calls.fetch_add(1, Ordering::SeqCst) + 1 == call;
        let (tenant, chat) = changed.clone();
        async move {
            if is_now {
                change.apply(&tenant, &chat).await;
            }
            None
        }
    })
    .await;
    let connecting = Connecting::start(tenant, chat.as_str(), &proxy).await;
    assert_eq!(connecting.status().await, 200, "the handshake succeeded");
    eventually("connection and slot are removed", async || is_clean(&connecting.tenant).await).await;
    eventually("the socket is closed", async || connecting.is_closed()).await;
    connecting.events()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

fn codes(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["error"]["code"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_deleted_before_the_connection_is_stored_closes_the_socket() {
    let events = connect_during("deleted early", Change::Delete, "BatchWriteItem", 1).await;
    assert_eq!((types(&events), codes(&events)), (vec!["error"], vec!["CHAT_NOT_FOUND"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_suspended_before_the_connection_is_stored_closes_the_socket() {
    let events = connect_during("suspended early", Change::Suspend, "BatchWriteItem", 1).await;
    assert_eq!((types(&events), codes(&events)), (vec!["error"], vec!["CONNECTION_CLOSING"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_revoked_before_the_connection_is_stored_closes_the_socket() {
    let events = connect_during("revoked early", Change::Revoke, "BatchWriteItem", 1).await;
    assert_eq!((types(&events), codes(&events)), (vec!["error"], vec!["CONNECTION_CLOSING"]));
    assert!(events[0]["error"]["message"].as_str().is_some_and(|message| message.contains("API key")), "{events:?}");
}

/// `delete-chat` may have found a connection that could not be reached yet. The reads: the key; access and chat before the
/// handshake; both before the first event; both after it. The sixth is the first after the event.
#[tokio::test(flavor = "multi_thread")]
async fn chat_deleted_before_the_socket_is_open_closes_it() {
    let events = connect_during("deleted late", Change::Delete, "GetItem", 6).await;
    assert_eq!(types(&events).first(), Some(&"connection_established"));
    assert_eq!(codes(&events), ["CHAT_NOT_FOUND"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_connect_removes_the_connection_before_its_slot() {
    let stack = Stack::shared();
    let tenant = stack.tenant("lost response").await;
    let chat = tenant.chat("u").await;
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), |called| async move {
        if called == "BatchWriteItem" { Some(Fault::LostResponse) } else { None }
    })
    .await;
    let connecting = Connecting::start(tenant, &chat, &proxy).await;
    assert_eq!(connecting.status().await, 503);
    assert!(is_clean(&connecting.tenant).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn slot_stays_if_the_connection_may_be_stored() {
    let stack = Stack::shared();
    let tenant = stack.tenant("failed removal").await;
    let chat = tenant.chat("u").await;
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), |called| async move {
        match called.as_str() {
            "BatchWriteItem" => Some(Fault::LostResponse),
            "DeleteItem" => Some(Fault::ServerError),
            _ => None,
        }
    })
    .await;
    let connecting = Connecting::start(tenant, &chat, &proxy).await;
    assert_eq!(connecting.status().await, 503);
    assert_eq!(stack.connections().slots().list(&connecting.tenant.id).await.expect("DynamoDB responds").len(), 1);
}

/// Connects; after the connection is stored, this many reads fail. The SDK makes one attempt of each, since its pauses can
/// use up the time in which the function repeats them. Returns once an event of `kind` was posted; the function may still
/// be working.
async fn connect_with_failing_reads(name: &str, failing_reads: usize, kind: &str) -> Connecting {
    let stack = Stack::shared();
    let tenant = stack.tenant(name).await;
    let chat = tenant.chat("u").await;
    let (is_stored, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |called| {
        let fault = match called.as_str() {
            "GetItem" if is_stored.load(Ordering::SeqCst) && reads.fetch_add(1, Ordering::SeqCst) < failing_reads => {
                Some(Fault::ServerError)
            }
            _ => None,
        };
        is_stored.fetch_or(called == "BatchWriteItem", Ordering::SeqCst);
        async move { fault }
    })
    .await;
    let connecting = Connecting::start_with(tenant, &chat, &proxy, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    assert_eq!(connecting.status().await, 200);
    eventually("the event is posted", async || connecting.events().iter().any(|event| event["type"] == kind)).await;
    connecting
}

/// The two reads of the first attempt, and of the second one.
#[tokio::test(flavor = "multi_thread")]
async fn first_events_are_sent_although_reads_fail_for_a_while() {
    let connecting = connect_with_failing_reads("late first events", 4, "user_created").await;
    assert_eq!(types(&connecting.events()), ["connection_established", "user_created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_without_a_first_event_gets_an_error_and_is_closed() {
    let connecting = connect_with_failing_reads("no first event", usize::MAX, "error").await;
    eventually("connection and slot are removed", async || is_clean(&connecting.tenant).await).await;
}

/// A client that closes at once, in a loop, must not hold a process for each of its sockets.
#[tokio::test]
async fn greeting_ends_when_the_socket_has_closed_before_it_opened() {
    let stack = Stack::shared();
    let tenant = stack.tenant("closed at once").await;
    let chat = tenant.chat("u").await;
    let gone = SocketBehavior { delay: Duration::ZERO, result: |_| PostResult::Refused(StatusCode::GONE) };
    let socket = format!("{}=", tenant.id);
    let management = ManagementStub::start(&[(socket.clone(), gone)]).await;
    let lambda =
        LambdaRuntime::start(stack, "ws-connect", LONG, &[("MANAGEMENT_ENDPOINT", management.url.as_str())]).await;
    lambda.send(handshake(&tenant, &chat));
    eventually("a post fails", async || management.attempts(&socket) > 0).await;
    for connection in stack.connections().list_by_tenant(&tenant.id).await.expect("DynamoDB responds") {
        stack.connections().end(&connection).await.expect("DynamoDB responds");
    }
    // The process takes its next event when its work after the response is done.
    lambda.send(handshake(&tenant, "chat_none"));
    lambda.responses(2).await;
    assert!((1..10).contains(&management.attempts(&socket)), "{} posts", management.attempts(&socket));
}
