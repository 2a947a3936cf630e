//! ConnectionSlots of connections: writes that break off or are sent twice, and leases that nobody would give back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use shared::{
    domain::{
        api_key::ApiKey,
        id::{ChatId, ConnectionId, UserId},
        time::Timestamp,
    },
    storage::{Connection, ConnectionGrant, Connections},
    websocket::{Publisher, connection_slots::ConnectionSlots},
};
use tests::{ManagementApi, Stack, Tenant, management_client};

use crate::resilience::between::{Between, Fate};

/// Longer than any function runs, in milliseconds.
const LONG_AGO: i64 = 12_001;

/// A socket of a chat that nobody needs, which wanted to open so many milliseconds ago.
fn socket(tenant: &Tenant, number: usize, ago: i64) -> Connection {
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::generate(),
    };
    let opened_at = Timestamp::from_millis(Timestamp::now().as_millis() - ago);
    Connection::open(ConnectionId::from_gateway(format!("{}-{number}", tenant.id)), grant, opened_at)
}

/// Takes all leases of a tenant but one, for sockets that wanted to open so long ago and are not noted.
async fn take_all_but_one(tenant: &Tenant, ago: i64) {
    let connections = Stack::shared().connections();
    let sockets: Vec<Connection> = (1..50).map(|number| socket(tenant, number, ago)).collect();
    let leases = join_all(sockets.iter().map(|socket| connections.lease(socket, 50))).await;
    assert!(leases.into_iter().all(|taken| taken.expect("the table answers")));
}

async fn taken(tenant: &Tenant) -> usize {
    Stack::shared().connections().leases(&tenant.id).await.expect("the table answers").len()
}

/// What a process leaves behind that dies between the lease and the socket's items, and what TTL leaves that removes them.
#[tokio::test]
async fn leases_that_no_socket_stands_behind_are_found_while_others_come_and_go() {
    let tenant = Stack::shared().tenant("abandoned").await;
    let chat = tenant.chat("u").await;
    take_all_but_one(&tenant, LONG_AGO).await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    let one = tenant.connect(&chat, "u").await;
    let two = tenant.connect_with(&query, &[]).await.expect("room is made before anyone is refused");
    assert_eq!(taken(&tenant).await, 2);
    drop((one, two));
}

#[tokio::test]
async fn a_lease_is_kept_for_a_socket_that_is_just_being_opened() {
    let tenant = Stack::shared().tenant("opening").await;
    let chat = tenant.chat("u").await;
    take_all_but_one(&tenant, 0).await;
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    let one = tenant.connect(&chat, "u").await;
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    drop(one);
}

#[tokio::test]
async fn sockets_that_are_over_give_their_leases_back() {
    let stack = Stack::shared();
    let (tenant, connections) = (stack.tenant("over").await, stack.connections());
    // API Gateway ended it after two hours, and `$disconnect` never came.
    let old = socket(&tenant, 0, 2 * 60 * 60 * 1_000);
    assert!(connections.lease(&old, 1).await.expect("the table answers"));
    connections.put(&old).await.expect("the table answers");
    // It does not know the socket's end: whoever asks is not told that it is gone.
    let mute = ManagementApi::start(&[]).await;
    let leases = ConnectionSlots::new(connections.clone(), Publisher::new(management_client(&mute.url)));
    let now = Timestamp::now();
    leases.take(&socket(&tenant, 1, 0), 1, now).await.expect("room is made");
    assert!(connections.was_greeted(&old).await.expect("the table answers").is_none(), "it is not noted any more");
}

/// The table behind a proxy that loses the answer to the first call of an operation, which the SDK then repeats.
async fn forgetful(operation: &'static str) -> (Connections, Arc<AtomicBool>) {
    let stack = Stack::shared();
    let lost = Arc::new(AtomicBool::new(false));
    let is_lost = lost.clone();
    let proxy = Between::start(stack.dynamodb_endpoint(), move |called| {
        let lose = called == operation && !is_lost.swap(true, Ordering::SeqCst);
        async move { if lose { Fate::Lost } else { Fate::Arrives } }
    })
    .await;
    let config = stack.dynamodb().config().to_builder().endpoint_url(&proxy.url).build();
    (Connections::new(aws_sdk_dynamodb::Client::from_conf(config), "ConnectionsTable".to_owned()), lost)
}

#[tokio::test]
async fn a_lease_whose_answer_is_lost_is_taken_once() {
    let tenant = Stack::shared().tenant("repeated lease").await;
    let (connections, lost) = forgetful("UpdateItem").await;
    assert!(connections.lease(&socket(&tenant, 1, 0), 2).await.expect("the second try"));
    assert!(lost.load(Ordering::SeqCst));
    assert_eq!(taken(&tenant).await, 1);

    let (connections, _) = forgetful("UpdateItem").await;
    assert!(connections.lease(&socket(&tenant, 2, 0), 2).await.expect("the second try"), "the last lease is its own");
}

#[tokio::test]
async fn a_lease_is_given_back_once_although_the_answer_is_lost() {
    let tenant = Stack::shared().tenant("repeated release").await;
    let [one, two] = [1, 2].map(|number| socket(&tenant, number, 0));
    let (connections, lost) = forgetful("UpdateItem").await;
    for socket in [&one, &two] {
        assert!(Stack::shared().connections().lease(socket, 2).await.expect("the table answers"));
    }
    connections.end(&one).await.expect("the second try");
    assert!(lost.load(Ordering::SeqCst));
    assert_eq!(taken(&tenant).await, 1);
}
