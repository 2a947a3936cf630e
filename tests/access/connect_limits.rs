//! Connects a minute of a tenant, and connections of one chat.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use shared::{
    domain::{
        api_key::ApiKey,
        connection::{Connection, ConnectionGrant},
        error::Code,
        id::{ChatId, ConnectionId, UserId},
        limits::{ConnectionLimits, Limits},
        tenant::NewLimits,
        time::Timestamp,
    },
    storage::{ConnectionRepository, SlotAdmission},
    websocket::{Publisher, connection_slots::ConnectionSlots},
};
use tests::{Fault, FaultProxy, ManagementStub, Stack, Tenant, management_client};

const LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 50, connections_per_chat: 10, connects_per_minute: 300 };

const MINUTE: Duration = Duration::from_secs(60);

fn query(tenant: &Tenant, chat: &str) -> String {
    format!("api_key={}&user_id=u&chat_id={chat}", tenant.key)
}

/// Connects in vain; returns the code in the log, since API Gateway replaces the body of a refusal.
async fn refusal(tenant: &Tenant, query: &str) -> String {
    let refused = tenant.refusal(query).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let id = refused.body["requestId"].as_str().expect("a refused handshake has a request id");
    let line = Stack::shared().line_that("request completed", |line| line["request_id"] == id).await;
    line["error.code"].as_str().expect("a code").to_owned()
}

fn connection(tenant: &Tenant, chat: &ChatId, number: usize, opened_at: Timestamp) -> Connection {
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: chat.clone(),
    };
    Connection::open(ConnectionId::from_gateway(format!("{}-{number}", tenant.id)), grant, opened_at)
}

async fn take(connection: &Connection, limits: ConnectionLimits) -> SlotAdmission {
    Stack::shared().connections().slots().take(connection, limits).await.expect("DynamoDB responds")
}

fn slots_key(tenant: &Tenant) -> HashMap<String, AttributeValue> {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    HashMap::from([("pk".to_owned(), text(tenant.id.as_str())), ("sk".to_owned(), text("~slots"))])
}

async fn slots_item(tenant: &Tenant) -> HashMap<String, AttributeValue> {
    let get = Stack::shared().dynamodb().get_item().table_name("ConnectionsTable").consistent_read(true);
    let output = get.set_key(Some(slots_key(tenant))).send().await.expect("DynamoDB responds");
    output.item.expect("the tenant has connected")
}

async fn connect_count(tenant: &Tenant) -> String {
    slots_item(tenant).await["connect_count"].as_n().expect("a number").clone()
}

#[tokio::test]
async fn connect_beyond_the_rate_of_a_minute_is_refused_for_its_tenant_alone() {
    let stack = Stack::shared();
    let limited = stack.tenant_with("connects", Limits { connects_per_minute: Some(3), ..Limits::default() }).await;
    let free = stack.tenant("other connects").await;
    let (chat, free_chat) = (limited.chat("u").await, free.chat("u").await);
    let tickets = format!("/api/v1/chats/{chat}/tickets");
    let ticket = limited.post(&tickets, &json!({})).await.body["ticket"].as_str().expect("a ticket").to_owned();

    // Neither counts: one names no tenant, the other may not open the chat.
    let unknown_key = format!("api_key=unknown&user_id=u&chat_id={chat}");
    assert_eq!(limited.connect_with(&unknown_key, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));
    let wrong_user = format!("api_key={}&user_id=v&chat_id={chat}", limited.key);
    assert_eq!(limited.connect_with(&wrong_user, &[]).await.err(), Some(StatusCode::FORBIDDEN));

    for query in [query(&limited, &chat), query(&limited, &chat), format!("ticket={ticket}")] {
        let socket = limited.connect_with(&query, &[]).await.expect("the handshake succeeds");
        socket.close().await;
    }
    let ends_at = slots_item(&limited).await["connects_end_at"].clone();
    for _ in 0..2 {
        assert_eq!(refusal(&limited, &query(&limited, &chat)).await, Code::RateLimitExceeded.as_str());
    }
    let item = slots_item(&limited).await;
    assert_eq!(item["connect_count"].as_n().expect("a number"), "3", "refused connects are not counted");
    assert_eq!(item["connects_end_at"], ends_at, "refused connects do not extend the minute");
    free.connect(&free_chat, "u").await;

    // A process that remembers the limit knows which limit it was.
    let raised = NewLimits { connects_per_minute: Some(4), ..NewLimits::default() };
    assert!(stack.tenants().set_limits(&limited.id, raised).await.expect("DynamoDB responds"));
    limited.connect(&chat, "u").await;
}

#[tokio::test]
async fn minute_of_connects_begins_with_its_first_one_and_is_exact() {
    let tenant = Stack::shared().tenant("connect minutes").await;
    let limits = ConnectionLimits { connects_per_minute: 5, ..LIMITS };
    let begins = Timestamp::now();
    let mut number = 0;
    // Twenty at once, in three minutes that touch.
    for minute in 0..3 {
        let opened_at = begins.plus(MINUTE * minute);
        let opening: Vec<Connection> = (0..20)
            .map(|_| {
                number += 1;
                connection(&tenant, &ChatId::generate(), number, opened_at)
            })
            .collect();
        let admissions = join_all(opening.iter().map(|connection| take(connection, limits))).await;
        let taken = admissions.iter().filter(|admission| **admission == SlotAdmission::Taken).count();
        assert_eq!(taken, 5, "minute {minute}");
        let ends_at = opened_at.plus(MINUTE);
        let refused = admissions.into_iter().filter(|admission| *admission != SlotAdmission::Taken);
        assert!(refused.into_iter().all(|refused| refused == SlotAdmission::RateLimited { ends_at }));
        let last = connection(&tenant, &ChatId::generate(), 0, ends_at.minus(Duration::from_millis(1)));
        assert_eq!(take(&last, limits).await, SlotAdmission::RateLimited { ends_at });
    }
}

#[tokio::test]
async fn connect_is_counted_once_if_the_response_is_lost() {
    let stack = Stack::shared();
    let tenant = stack.tenant("repeated connect").await;
    let now = Timestamp::now();
    // The first starts a minute, by its second write; the other counts into it, by its first.
    for (number, lost_write) in [(1, 2), (2, 1)] {
        let (writes, lost) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let is_lost = lost.clone();
        let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |called| {
            let lose = called == "UpdateItem" && writes.fetch_add(1, Ordering::SeqCst) + 1 == lost_write;
            is_lost.fetch_or(lose, Ordering::SeqCst);
            async move { lose.then_some(Fault::LostResponse) }
        })
        .await;
        let connections = ConnectionRepository::new(stack.dynamodb_at(&proxy.url), "ConnectionsTable".to_owned());
        let admission = connections.slots().take(&connection(&tenant, &ChatId::generate(), number, now), LIMITS).await;
        assert_eq!(admission.expect("the next attempt"), SlotAdmission::Taken);
        assert!(lost.load(Ordering::SeqCst));
        assert_eq!(connect_count(&tenant).await, number.to_string());
    }
}

#[tokio::test]
async fn slots_of_a_chat_stop_at_its_limit() {
    let tenant = Stack::shared().tenant("chat race").await;
    let (chat, other) = (ChatId::generate(), ChatId::generate());
    let now = Timestamp::now();
    let opening: Vec<Connection> = (0..40).map(|number| connection(&tenant, &chat, number, now)).collect();
    let admissions = join_all(opening.iter().map(|connection| take(connection, LIMITS))).await;
    assert_eq!(admissions.iter().filter(|admission| **admission == SlotAdmission::Taken).count(), 10);
    assert_eq!(take(&connection(&tenant, &other, 40, now), LIMITS).await, SlotAdmission::Taken);

    // A repetition has the same results, and is not counted.
    let again = join_all(opening.iter().map(|connection| take(connection, LIMITS))).await;
    assert_eq!(again, admissions);
    assert_eq!(connect_count(&tenant).await, "11");

    // The first slot that is returned twice is one free slot of the chat.
    let connections = Stack::shared().connections();
    let place = admissions.iter().position(|admission| *admission == SlotAdmission::Taken).expect("ten");
    for _ in 0..2 {
        connections.end(&opening[place]).await.expect("DynamoDB responds");
    }
    let [one, two] = [41, 42].map(|number| connection(&tenant, &chat, number, now));
    let full = SlotAdmission::ChatFull { probed_at: None };
    assert_eq!((take(&one, LIMITS).await, take(&two, LIMITS).await), (SlotAdmission::Taken, full));
}

#[tokio::test]
async fn item_keeps_nothing_of_a_chat_whose_slots_are_free() {
    let stack = Stack::shared();
    let (tenant, now) = (stack.tenant("free slots").await, Timestamp::now());
    // More than one write releases.
    let opening: Vec<Connection> =
        (0..130).map(|number| connection(&tenant, &ChatId::generate(), number, now)).collect();
    let limits = ConnectionLimits { connections: 1_000, ..LIMITS };
    for taken in join_all(opening.iter().map(|connection| take(connection, limits))).await {
        assert_eq!(taken, SlotAdmission::Taken);
    }
    let slots = stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds");
    assert_eq!(slots.len(), 130);
    stack.connections().slots().release(&tenant.id, &slots).await.expect("DynamoDB responds");
    let item = slots_item(&tenant).await;
    assert!(!item.keys().any(|attribute| attribute.starts_with("slots")), "{item:?}");
}

#[tokio::test]
async fn limit_of_zero_takes_no_slot() {
    let (tenant, chat, now) = (Stack::shared().tenant("zero").await, ChatId::generate(), Timestamp::now());
    // A minute has begun, and no slot is taken: then DynamoDB finds no set to compare with 0.
    let ended = connection(&tenant, &chat, 0, now);
    assert_eq!(take(&ended, LIMITS).await, SlotAdmission::Taken);
    Stack::shared().connections().end(&ended).await.expect("DynamoDB responds");
    for limits in [
        ConnectionLimits { connections: 0, ..LIMITS },
        ConnectionLimits { connections_per_chat: 0, ..LIMITS },
        ConnectionLimits { connects_per_minute: 0, ..LIMITS },
    ] {
        assert_ne!(take(&connection(&tenant, &chat, 1, now), limits).await, SlotAdmission::Taken, "{limits:?}");
    }
    assert!(Stack::shared().connections().slots().list(&tenant.id).await.expect("DynamoDB responds").is_empty());
}

/// During an upgrade `$disconnect` of the release before may release slots in `slots` alone.
#[tokio::test]
async fn slots_released_by_a_release_without_this_limit_do_not_lock_the_chat_out() {
    let stack = Stack::shared();
    let (tenant, chat, now) = (stack.tenant("mixed releases").await, ChatId::generate(), Timestamp::now());
    let long_ago = now.minus(Duration::from_millis(12_001));
    for number in 0..10 {
        assert_eq!(take(&connection(&tenant, &chat, number, long_ago), LIMITS).await, SlotAdmission::Taken);
    }
    let update = stack.dynamodb().update_item().table_name("ConnectionsTable");
    let update = update.set_key(Some(slots_key(&tenant))).update_expression("REMOVE slots");
    update.send().await.expect("DynamoDB responds");

    let next = connection(&tenant, &chat, 10, now);
    assert_eq!(take(&next, LIMITS).await, SlotAdmission::ChatFull { probed_at: None });
    let management = ManagementStub::start(&[]).await;
    let slots = ConnectionSlots::new(stack.connections(), Publisher::new(management_client(&management.url)));
    slots.take(&next, LIMITS, now).await.expect("the slots are reclaimed");
    assert_eq!(stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").len(), 1);
}

#[tokio::test]
async fn eleventh_connection_of_a_chat_is_refused_as_the_fifty_first_of_a_tenant() {
    let stack = Stack::shared();
    let limits = Limits { connections_per_chat: Some(1), connections: 2, ..Limits::default() };
    let tenant = stack.tenant_with("full chat", limits).await;
    let (one, two, three) = (tenant.chat("u").await, tenant.chat("u").await, tenant.chat("u").await);
    let _first = tenant.connect(&one, "u").await;
    assert_eq!(refusal(&tenant, &query(&tenant, &one)).await, Code::ConnectionLimitExceeded.as_str());
    let _second = tenant.connect(&two, "u").await;
    assert_eq!(refusal(&tenant, &query(&tenant, &three)).await, Code::ConnectionLimitExceeded.as_str());
    assert_eq!(connect_count(&tenant).await, "2", "refused connects are not counted");
}

mod black_box {
    use futures_util::future::join_all;
    use reqwest::StatusCode;
    use shared::domain::limits::Limits;
    use tests::{Api, Socket, eventually};

    #[tokio::test]
    async fn ten_of_twenty_simultaneous_connects_to_a_chat_are_accepted() {
        let api = Api::shared();
        let tenant = api.tenant_with("chat connections", Limits { rest_per_minute: 1_000, ..Limits::default() }).await;
        let (chat, other) = (tenant.chat("u").await, tenant.chat("u").await);
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let refusal = Some(api.refusal(StatusCode::TOO_MANY_REQUESTS));
        let attempts = join_all((0..20).map(|_| tenant.connect_with(&query, &[]))).await;
        let (open, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
        assert_eq!((open.len(), refused.len()), (10, 10));
        assert!(refused.into_iter().all(|refused| refused.err() == refusal));
        tenant.connect(&other, "u").await;

        // One closed socket frees one slot.
        let mut open: Vec<Socket> = open.into_iter().map(|socket| socket.expect("it is open")).collect();
        open.pop().expect("ten").close().await;
        let mut again = None;
        eventually("the slot is free", async || {
            again = tenant.connect_with(&query, &[]).await.ok();
            again.is_some()
        })
        .await;
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), refusal);
    }

    #[tokio::test]
    async fn limits_set_by_the_operator_apply_from_the_next_connect_on() {
        let api = Api::shared();
        let tenant = api.tenant("set limits").await;
        let chat = tenant.chat("u").await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let refusal = Some(api.refusal(StatusCode::TOO_MANY_REQUESTS));
        let set = async |option, limit| api.chat(&["tenant", "set-limits", &tenant.id, option, limit]).await;
        let mut open = vec![tenant.connect(&chat, "u").await];
        set("--connections-per-chat", "1").await;
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), refusal);
        set("--connections-per-chat", "5").await;
        open.push(tenant.connect(&chat, "u").await);
        set("--connects-per-minute", "2").await;
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), refusal);
        set("--connects-per-minute", "3").await;
        open.push(tenant.connect(&chat, "u").await);
    }
}
