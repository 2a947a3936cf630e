//! Connection slots: exact under concurrency, and free again after lost processes, sockets and responses.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use shared::{
    domain::{
        api_key::ApiKey,
        connection::{Connection, ConnectionGrant},
        id::{ChatId, ConnectionId, UserId},
        limits::{ConnectionLimits, Limits},
        time::Timestamp,
    },
    storage::ConnectionRepository,
    websocket::{Publisher, connection_slots::ConnectionSlots},
};
use tests::{Fault, FaultProxy, ManagementStub, Options, Stack, Tenant, eventually, management_client, take_slot};

/// Older than the age at which a slot may be reclaimed, in milliseconds.
const LONG_AGO: i64 = 12_001;

/// A connection of an arbitrary chat, opened `ago` milliseconds ago.
fn connection(tenant: &Tenant, number: usize, ago: i64) -> Connection {
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::generate(),
    };
    let opened_at = Timestamp::from_millis(Timestamp::now().as_millis() - ago);
    Connection::open(ConnectionId::from_gateway(format!("{}-{number}", tenant.id)), grant, opened_at)
}

/// Takes all slots of a tenant but one, for connections of this age that are not stored.
async fn take_all_but_one(tenant: &Tenant, ago: i64) {
    let connections = Stack::shared().connections();
    let opening: Vec<Connection> = (1..50).map(|number| connection(tenant, number, ago)).collect();
    let taken = join_all(opening.iter().map(|connection| take_slot(&connections, connection, 50))).await;
    assert!(taken.into_iter().all(|taken| taken));
}

async fn taken_slots(tenant: &Tenant) -> usize {
    Stack::shared().connections().slots().list(&tenant.id).await.expect("DynamoDB responds").len()
}

/// A process that dies between slot and connection leaves such a slot, and so does TTL.
#[tokio::test]
async fn slots_without_a_connection_are_reclaimed_before_a_connect_is_refused() {
    let tenant = Stack::shared().tenant("abandoned").await;
    let chat = tenant.chat("u").await;
    take_all_but_one(&tenant, LONG_AGO).await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    let one = tenant.connect(&chat, "u").await;
    let two = tenant.connect_with(&query, &[]).await.expect("a slot is reclaimed");
    assert_eq!(taken_slots(&tenant).await, 2);
    drop((one, two));
}

#[tokio::test]
async fn slot_of_a_connection_that_is_just_opening_is_kept() {
    let tenant = Stack::shared().tenant("opening").await;
    let chat = tenant.chat("u").await;
    // They open in a minute, so that they are young however slow this machine is.
    take_all_but_one(&tenant, -60_000).await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    let one = tenant.connect(&chat, "u").await;
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    drop(one);
}

#[tokio::test]
async fn slot_of_a_connection_older_than_two_hours_is_reclaimed() {
    let stack = Stack::shared();
    let (tenant, connections) = (stack.tenant("two hours").await, stack.connections());
    // API Gateway ended it after two hours, and `$disconnect` never came.
    let old = connection(&tenant, 0, 2 * 60 * 60 * 1_000);
    assert!(take_slot(&connections, &old, 1).await);
    connections.put(&old).await.expect("DynamoDB responds");
    // It does not know the socket, so it does not report it as gone.
    let management = ManagementStub::start(&[]).await;
    let slots = ConnectionSlots::new(connections.clone(), Publisher::new(management_client(&management.url)));
    let now = Timestamp::now();
    let limits = ConnectionLimits { connections: 1, connections_per_chat: 10, connects_per_minute: 300 };
    slots.take(&connection(&tenant, 1, 0), limits, now).await.expect("a slot is reclaimed");
    assert!(connections.is_established(&old).await.expect("DynamoDB responds").is_none(), "the connection is removed");
}

/// The connections behind a proxy that loses the response to the first call of an operation; the SDK repeats the call.
async fn with_lost_response(operation: &'static str) -> (ConnectionRepository, Arc<AtomicBool>) {
    let stack = Stack::shared();
    let lost = Arc::new(AtomicBool::new(false));
    let is_lost = lost.clone();
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |called| {
        let lose = called == operation && !is_lost.swap(true, Ordering::SeqCst);
        async move { lose.then_some(Fault::LostResponse) }
    })
    .await;
    (ConnectionRepository::new(stack.dynamodb_at(&proxy.url), "ConnectionsTable".to_owned()), lost)
}

#[tokio::test]
async fn slot_is_taken_once_if_the_response_is_lost() {
    let tenant = Stack::shared().tenant("repeated lease").await;
    let (connections, lost) = with_lost_response("UpdateItem").await;
    assert!(take_slot(&connections, &connection(&tenant, 1, 0), 2).await, "by the second attempt");
    assert!(lost.load(Ordering::SeqCst));
    assert_eq!(taken_slots(&tenant).await, 1);

    let (connections, _) = with_lost_response("UpdateItem").await;
    assert!(take_slot(&connections, &connection(&tenant, 2, 0), 2).await, "it has the last slot");
}

#[tokio::test]
async fn slot_is_freed_once_if_the_response_is_lost() {
    let tenant = Stack::shared().tenant("repeated release").await;
    let [one, two] = [1, 2].map(|number| connection(&tenant, number, 0));
    let (connections, lost) = with_lost_response("UpdateItem").await;
    for connection in [&one, &two] {
        assert!(take_slot(&Stack::shared().connections(), connection, 2).await);
    }
    connections.end(&one).await.expect("the second attempt");
    assert!(lost.load(Ordering::SeqCst));
    assert_eq!(taken_slots(&tenant).await, 1);
}

#[tokio::test]
async fn gateway_killed_with_all_sockets_open_locks_out_neither_tenant_nor_chat() {
    let database = ["--no-reload", "--dynamodb-endpoint", Stack::shared().dynamodb_endpoint()].map(str::to_owned);
    let options = Options { arguments: database.to_vec(), ..Options::binaries() };
    let stack = Stack::start(&options);
    let tenant = stack.tenant("lost sockets").await;
    let chat = tenant.chat("u").await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    let open = join_all((0..50).map(|_| tenant.connect(&chat, "u"))).await;
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    let limits = Limits { connections_per_chat: Some(3), ..Limits::default() };
    let other = stack.tenant_with("lost sockets of a chat", limits).await;
    let other_chat = other.chat("u").await;
    let other_query = format!("api_key={}&user_id=u&chat_id={other_chat}", other.key);
    let other_open = join_all((0..3).map(|_| other.connect(&other_chat, "u"))).await;
    assert_eq!(other.connect_with(&other_query, &[]).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    let pid = stack.pid().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success());
    drop((stack, open, other_open));

    let stack = Stack::start(&options);
    let (tenant, other) = (stack.again(&tenant), stack.again(&other));
    // Slots younger than 12 s are not reclaimed.
    eventually("a socket opens again", async || tenant.connect_with(&query, &[]).await.is_ok()).await;
    let leases = stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").len();
    assert!(leases <= 2, "{leases} slots after 50 lost sockets and one open one");
    eventually("a socket of the chat opens again", async || other.connect_with(&other_query, &[]).await.is_ok()).await;
}

#[tokio::test]
async fn refused_connect_takes_no_slot() {
    let stack = Stack::shared();
    let tenant = stack.tenant("no slot").await;
    let chat = tenant.chat("u").await;
    let wrong_user = format!("api_key={}&user_id=another-user&chat_id={chat}", tenant.key);
    assert_eq!(tenant.connect_with(&wrong_user, &[]).await.err(), Some(StatusCode::FORBIDDEN));
    assert!(stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").is_empty());
}

mod black_box {
    use std::time::Duration;

    use futures_util::future::join_all;
    use reqwest::StatusCode;
    use shared::domain::limits::Limits;
    use tests::{Api, Socket, eventually};

    #[tokio::test]
    async fn fifty_of_two_hundred_simultaneous_connects_are_accepted() {
        let tenant = Api::shared().tenant("connections").await;
        let chat = tenant.chat("u").await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let attempts = join_all((0..200).map(|_| tenant.connect_with(&query, &[]))).await;
        let (open, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
        assert_eq!((open.len(), refused.len()), (50, 150));
        assert!(
            refused
                .into_iter()
                .all(|refusal| refusal.err() == Some(Api::shared().refusal(StatusCode::TOO_MANY_REQUESTS)))
        );

        // One closed socket frees one slot.
        let mut open: Vec<Socket> = open.into_iter().map(|socket| socket.expect("it is open")).collect();
        open.pop().expect("fifty").close().await;
        let mut again = None;
        eventually("the slot is free", async || {
            again = tenant.connect_with(&query, &[]).await.ok();
            again.is_some()
        })
        .await;
        assert_eq!(
            tenant.connect_with(&query, &[]).await.err(),
            Some(Api::shared().refusal(StatusCode::TOO_MANY_REQUESTS))
        );
    }

    /// Before a connect is refused, slots older than 12 s are checked with GetConnection; this socket is alive.
    #[tokio::test]
    async fn slot_of_a_living_socket_is_not_reclaimed() {
        let tenant = Api::shared().tenant_with("full", Limits { connections: 1, ..Limits::default() }).await;
        let chat = tenant.chat("u").await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        let mut socket = tenant.connect(&chat, "u").await;
        tokio::time::sleep(Duration::from_secs(13)).await;
        let refused = tenant.connect_with(&query, &[]).await.err();
        assert_eq!(refused, Some(Api::shared().refusal(StatusCode::TOO_MANY_REQUESTS)));
        assert_eq!(socket.say("still open").await.last().expect("an end")["finish_reason"], "stop");
    }
}
