//! `$connect`, when something else happens between two of its steps; and when a step breaks off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use shared::{
    domain::{api_key::ApiKey, id::ChatId, time::Timestamp},
    storage::TenantStatus,
};
use tests::{Lambda, Stack, Tenant, eventually};

use crate::resilience::between::{Between, Fate};

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

/// A `ws-connect` whose calls go through a proxy.
async fn ws_connect(proxy: &Between) -> Lambda {
    let through = [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()), ("MANAGEMENT_ENDPOINT", proxy.url.as_str())];
    Lambda::start(Stack::shared(), "ws-connect", LONG, &through).await
}

/// Whether the tenant has neither a socket nor a lease.
async fn is_clean(tenant: &Tenant) -> bool {
    let connections = Stack::shared().connections();
    let noted = connections.of_tenant(&tenant.id).await.expect("the table answers");
    noted.is_empty() && connections.leases(&tenant.id).await.expect("the table answers").is_empty()
}

/// What is done to a tenant's chat or gate.
#[derive(Clone, Copy)]
enum Blow {
    Delete,
    Suspend,
    Revoke,
}

impl Blow {
    async fn strike(self, tenant: &Tenant, chat: &ChatId) {
        let stack = Stack::shared();
        let struck = match self {
            Self::Delete => stack.chats().delete(&tenant.id, chat, Timestamp::now()).await,
            Self::Suspend => stack.tenants().set_status(&tenant.id, TenantStatus::Suspended).await,
            Self::Revoke => stack.tenants().revoke_key(&tenant.id, &ApiKey::new(&tenant.key).hash()).await,
        };
        assert!(struck.expect("the table answers"));
    }
}

/// Opens a socket; the blow comes right before the function's call number `call` of an operation. Returns what the
/// socket was told until it was closed.
async fn meet(name: &str, blow: Blow, operation: &'static str, call: usize) -> Vec<Value> {
    let stack = Stack::shared();
    let tenant = stack.tenant(name).await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("a chat");
    let (calls, struck) = (Arc::new(AtomicUsize::new(0)), (tenant.clone(), chat.clone()));
    let proxy = Between::start(stack.dynamodb_endpoint(), move |called| {
        let is_now = called == operation && calls.fetch_add(1, Ordering::SeqCst) + 1 == call;
        let (tenant, chat) = struck.clone();
        async move {
            if is_now {
                blow.strike(&tenant, &chat).await;
            }
            Fate::Arrives
        }
    })
    .await;
    let lambda = ws_connect(&proxy).await;
    lambda.send(handshake(&tenant, chat.as_str()));
    assert_eq!(lambda.answers(1).await[0]["statusCode"], 200, "the handshake was over already");
    eventually("nothing is left of the socket", async || is_clean(&tenant).await).await;
    let mut posts = proxy.posts();
    assert_eq!(posts.pop().map(|(method, _)| method), Some(Method::DELETE), "it is closed");
    assert!(posts.iter().all(|(method, _)| *method == Method::POST));
    posts.into_iter().map(|(_, event)| event).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

fn codes(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["error"]["code"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_deleted_before_the_socket_is_noted_turns_it_away() {
    let events = meet("deleted early", Blow::Delete, "BatchWriteItem", 1).await;
    assert_eq!((types(&events), codes(&events)), (vec!["error"], vec!["CHAT_NOT_FOUND"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_suspended_before_the_socket_is_noted_turns_it_away() {
    let events = meet("suspended early", Blow::Suspend, "BatchWriteItem", 1).await;
    assert_eq!((types(&events), codes(&events)), (vec!["error"], vec!["CONNECTION_CLOSING"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_before_the_socket_is_noted_turns_it_away() {
    let events = meet("revoked early", Blow::Revoke, "BatchWriteItem", 1).await;
    assert_eq!((types(&events), codes(&events)), (vec!["error"], vec!["CONNECTION_CLOSING"]));
    assert!(events[0]["error"]["message"].as_str().is_some_and(|message| message.contains("API key")), "{events:?}");
}

/// Whoever deleted the chat may have found a socket that could not be reached yet. The reads are that of the key, those of
/// gate and chat before the handshake, both before the first event, and both after it: the sixth.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_deleted_before_the_socket_is_open_closes_it() {
    let events = meet("deleted late", Blow::Delete, "GetItem", 6).await;
    assert_eq!(types(&events).first(), Some(&"connection_established"));
    assert_eq!(codes(&events), ["CHAT_NOT_FOUND"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_may_be_noted_although_it_failed_is_forgotten_before_its_lease_is() {
    let stack = Stack::shared();
    let tenant = stack.tenant("put lost").await;
    let chat = tenant.chat("u").await;
    let proxy = Between::start(stack.dynamodb_endpoint(), |called| async move {
        if called == "BatchWriteItem" { Fate::Lost } else { Fate::Arrives }
    })
    .await;
    let lambda = ws_connect(&proxy).await;
    lambda.send(handshake(&tenant, &chat));
    assert_eq!(lambda.answers(1).await[0]["statusCode"], 503);
    assert!(is_clean(&tenant).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_stays_when_it_is_not_known_whether_the_socket_is_noted() {
    let stack = Stack::shared();
    let tenant = stack.tenant("undo lost").await;
    let chat = tenant.chat("u").await;
    let proxy = Between::start(stack.dynamodb_endpoint(), |called| async move {
        match called.as_str() {
            "BatchWriteItem" => Fate::Lost,
            "DeleteItem" => Fate::Refused,
            _ => Fate::Arrives,
        }
    })
    .await;
    let lambda = ws_connect(&proxy).await;
    lambda.send(handshake(&tenant, &chat));
    assert_eq!(lambda.answers(1).await[0]["statusCode"], 503);
    assert_eq!(stack.connections().leases(&tenant.id).await.expect("the table answers").len(), 1);
}

/// A socket that is noted, while so many reads after that are refused; what it was told, once it was told `kind`, and the
/// function that did so, which may still be at work.
async fn told(name: &str, refused_reads: usize, kind: &str) -> (Tenant, Vec<(Method, Value)>, Lambda) {
    let stack = Stack::shared();
    let tenant = stack.tenant(name).await;
    let chat = tenant.chat("u").await;
    let (is_noted, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let proxy = Between::start(stack.dynamodb_endpoint(), move |called| {
        let fate = match called.as_str() {
            "GetItem" if is_noted.load(Ordering::SeqCst) && reads.fetch_add(1, Ordering::SeqCst) < refused_reads => {
                Fate::Refused
            }
            _ => Fate::Arrives,
        };
        is_noted.fetch_or(called == "BatchWriteItem", Ordering::SeqCst);
        async move { fate }
    })
    .await;
    let lambda = ws_connect(&proxy).await;
    lambda.send(handshake(&tenant, &chat));
    assert_eq!(lambda.answers(1).await[0]["statusCode"], 200);
    eventually("the socket is told", async || proxy.posts().iter().any(|(_, event)| event["type"] == kind)).await;
    (tenant, proxy.posts(), lambda)
}

/// The SDK tries each of the two reads three times.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_greeted_although_dynamodb_has_a_bad_moment() {
    let (_, posts, _) = told("greeted late", 6, "user_created").await;
    let events: Vec<Value> = posts.into_iter().map(|(_, event)| event).collect();
    assert_eq!(types(&events), ["connection_established", "user_created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_cannot_be_greeted_is_told_so_and_closed() {
    let (tenant, _, _at_work) = told("not greeted", usize::MAX, "error").await;
    eventually("nothing is left of the socket", async || is_clean(&tenant).await).await;
}
