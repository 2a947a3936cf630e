//! The tables themselves: what happens when two do the same thing at once.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use shared::{
    auth::{Authenticator, RECHECK},
    domain::{
        api_key::{ApiKey, TicketText},
        error::Code,
        id::{ChatId, ConnectionId, UserId},
        limits::{Limits, RateLimitBucket},
        message::{FinishReason, Status, Usage},
        pagination::{Order, PageRequest},
        time::Timestamp,
    },
    storage::{
        Admission, AppendResult, ChatPosition, Connection, ConnectionGrant, FinishResult, FrameAdmission, NewKey,
        NewLimits, NewMessage, Outcome, Tenants,
    },
};
use tests::{Proxy, Stack, Tenant};

const SOMETHING: NewMessage<'static> = NewMessage { content: "x", client_id: None, model: "echo" };

#[tokio::test]
async fn messages_written_at_once_get_consecutive_numbers() {
    let stack = Stack::shared();
    let tenant = stack.tenant("race").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let chats = stack.chats();
    // All four believe that the chat is empty; three are wrong, and find out.
    let appended =
        join_all((0..4).map(|_| chats.append(&tenant.id, &chat, ChatPosition::default(), SOMETHING, Timestamp::now())))
            .await;
    let mut seqs: Vec<u32> = appended
        .into_iter()
        .map(|appended| match appended.expect("the table answers") {
            AppendResult::Stored(exchange) => exchange.message.seq,
            other => panic!("not stored: {other:?}"),
        })
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [0, 2, 4, 6]);

    let page = PageRequest { offset: 0, limit: 200, order: Order::Asc };
    let (messages, total) = chats
        .messages(&tenant.id, &chat, page, Timestamp::now())
        .await
        .expect("the table answers")
        .expect("the chat is there");
    assert_eq!(total, 8);
    assert!((0..8).eq(messages.iter().map(|message| message.seq)));
}

#[tokio::test]
async fn an_answer_ends_once() {
    let stack = Stack::shared();
    let tenant = stack.tenant("ends once").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let chats = stack.chats();
    let now = Timestamp::now();
    let appended =
        chats.append(&tenant.id, &chat, ChatPosition::default(), SOMETHING, now).await.expect("the table answers");
    let AppendResult::Stored(exchange) = appended else { panic!("not stored: {appended:?}") };
    let outcome = |content: &str| Outcome {
        content: content.to_owned(),
        status: Status::Complete,
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        first_token_ms: None,
    };
    let (first, second) = (outcome("first"), outcome("second"));
    let lease = chats.lease(&tenant.id, &chat, &exchange.generation);
    let later = now.plus(Duration::from_secs(1));
    assert_eq!(lease.finish(&first, now).await.expect("the table answers"), FinishResult::Stored);
    assert_eq!(
        lease.finish(&first, now).await.expect("the table answers"),
        FinishResult::Stored,
        "whose answer was lost"
    );
    assert_eq!(lease.finish(&second, later).await.expect("the table answers"), FinishResult::Lost);
    let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
    assert_eq!(stored["messages"][1]["content"], "first");
}

#[tokio::test]
async fn nothing_is_written_into_a_chat_that_is_gone() {
    let stack = Stack::shared();
    let tenant = stack.tenant("gone").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let chats = stack.chats();
    let now = Timestamp::now();
    assert!(chats.delete(&tenant.id, &chat, now).await.expect("the table answers"));
    let append = async || {
        chats.append(&tenant.id, &chat, ChatPosition::default(), SOMETHING, now).await.expect("the table answers")
    };
    assert!(matches!(append().await, AppendResult::NoChat));
    chats.purge(&tenant.id, &chat).await.expect("the table answers");
    chats.purge(&tenant.id, &chat).await.expect("purging again does no harm");
    assert!(matches!(append().await, AppendResult::NoChat));
}

#[tokio::test]
async fn of_requests_that_reach_the_gate_at_once_as_many_pass_as_may() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("access race", Limits::default()).await;
    let (tenants, key, now) = (stack.tenants(), ApiKey::new(&tenant.key).hash(), Timestamp::now());
    let admissions = join_all((0..200).map(|_| tenants.admit(&tenant.id, &key, RateLimitBucket::Rest, now))).await;
    let passed = admissions
        .into_iter()
        .filter(|admission| matches!(admission.as_ref().expect("the table answers"), Admission::Admitted(..)));
    assert_eq!(passed.count(), 100);
}

/// A socket of a chat that nobody needs, which wants to open at this time.
fn socket(tenant: &Tenant, id: &str, now: Timestamp) -> Connection {
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::generate(),
    };
    Connection::open(ConnectionId::from_gateway(format!("{}-{id}", tenant.id)), grant, now)
}

#[tokio::test]
async fn of_sockets_that_want_a_lease_at_once_as_many_get_one_as_may() {
    let stack = Stack::shared();
    let tenant = stack.tenant("lease race").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    let sockets: Vec<Connection> = (0..200).map(|number| socket(&tenant, &number.to_string(), now)).collect();
    let leases = join_all(sockets.iter().map(|socket| connections.lease(socket, 50))).await;
    let taken: Vec<bool> = leases.into_iter().map(|taken| taken.expect("the table answers")).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 50);
    assert_eq!(connections.leases(&tenant.id).await.expect("the table answers").len(), 50);

    // IdempotencyRequest more changes nothing: who has one has it, who has none gets none.
    let again = join_all(sockets.iter().map(|socket| connections.lease(socket, 50))).await;
    assert!(again.into_iter().map(|taken| taken.expect("the table answers")).eq(taken));
    assert!(!connections.lease(&socket(&tenant, "none", now), 0).await.expect("the table answers"));
}

#[tokio::test]
async fn a_lease_that_is_given_back_twice_makes_room_for_one() {
    let stack = Stack::shared();
    let tenant = stack.tenant("given back twice").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    let [one, two, three, four] = ["1", "2", "3", "4"].map(|id| socket(&tenant, id, now));
    let lease = async |socket| connections.lease(socket, 2).await.expect("the table answers");
    assert_eq!((lease(&one).await, lease(&two).await, lease(&three).await), (true, true, false));
    for _ in 0..2 {
        connections.end(&one).await.expect("the table answers");
    }
    assert_eq!((lease(&three).await, lease(&four).await), (true, false));
}

#[tokio::test]
async fn of_many_that_redeem_a_ticket_at_once_one_does() {
    let stack = Stack::shared();
    let tenant = stack.tenant("redeem race").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    let (ticket, grant) = (TicketText::generate(), socket(&tenant, "ticket", now).grant);
    connections.put_ticket(&ticket, grant.clone(), now.plus(Duration::from_secs(60))).await.expect("the table answers");
    let redeemed = join_all((0..50).map(|_| connections.redeem(&ticket, now))).await;
    let passes: Vec<ConnectionGrant> =
        redeemed.into_iter().filter_map(|redeemed| redeemed.expect("the table answers")).collect();
    assert_eq!(passes, [grant]);
}

#[tokio::test]
async fn a_socket_that_speaks_says_whether_it_was_greeted() {
    let stack = Stack::shared();
    let tenant = stack.tenant("greeted").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    let socket = socket(&tenant, "greeted", now);
    let heard = async || match connections.admit_frame(&socket.connection_id, now).await.expect("the table answers") {
        FrameAdmission::Allowed(connection) => Some(connection.greeted),
        FrameAdmission::RateLimited(_) | FrameAdmission::Unknown => None,
    };
    connections.put(&socket).await.expect("the table answers");
    assert_eq!(heard().await, Some(false));
    connections.note_greeted(&socket).await.expect("the table answers");
    assert_eq!(heard().await, Some(true));
    assert_eq!(connections.was_greeted(&socket).await.expect("the table answers"), Some(true));

    connections.end(&socket).await.expect("the table answers");
    connections.note_greeted(&socket).await.expect("a socket that is gone is none of its business");
    assert_eq!(heard().await, None);
    assert_eq!(connections.was_greeted(&socket).await.expect("the table answers"), None);
}

#[tokio::test]
async fn the_gate_of_a_socket_that_speaks_is_looked_at_every_half_minute() {
    let stack = Stack::shared();
    let tenant = stack.tenant("rechecked").await;
    let (key, now) = (ApiKey::new(&tenant.key).hash(), Timestamp::now());
    let authenticator = Authenticator::new(stack.tenants());
    let recheck = async |after| authenticator.recheck(&tenant.id, &key, now.plus(after)).await.map_err(|e| e.code());
    assert_eq!(recheck(Duration::ZERO).await, Ok(()));
    assert!(stack.tenants().revoke_key(&tenant.id, &key).await.expect("the table answers"));
    assert_eq!(recheck(RECHECK - Duration::from_millis(1)).await, Ok(()), "it is not asked again so soon");
    assert_eq!(recheck(RECHECK).await, Err(Code::ConnectionClosing));
    assert_eq!(recheck(Duration::ZERO).await, Ok(()), "what was seen then is remembered");
}

#[tokio::test]
async fn two_who_change_different_limits_do_not_undo_each_other() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("two admins", Limits::default()).await;
    let tenants = stack.tenants();
    for number in 1..20 {
        let rest = NewLimits { rest_per_minute: Some(number), ..NewLimits::default() };
        let connections = NewLimits { connections: Some(number), ..NewLimits::default() };
        let set = join_all([rest, connections].map(|new| tenants.set_limits(&tenant.id, new))).await;
        assert!(set.into_iter().all(|set| set.expect("the table answers")));
        let limits = tenants.access(&tenant.id).await.expect("the table answers").expect("a tenant").limits;
        let expected = Limits { rest_per_minute: number, connections: number, ..Limits::default() };
        assert_eq!(limits, expected);
    }
}

/// A transaction would hold the gate, and fail the requests that count into it meanwhile.
#[tokio::test]
async fn a_key_is_made_without_holding_the_gate() {
    let stack = Stack::shared();
    let tenant = stack.tenant("plain writes").await;
    let proxy = Proxy::start(stack.dynamodb_endpoint()).await;
    let config = stack.dynamodb().config().to_builder().endpoint_url(&proxy.url).build();
    let tenants = Tenants::new(aws_sdk_dynamodb::Client::from_conf(config), "TenantsTable".to_owned());
    let key = ApiKey::new(&format!("second-{}", tenant.key)).hash();
    let made = tenants.add_key(&tenant.id, NewKey { key: &key, expires_at: None }, Timestamp::now()).await;
    assert!(made.expect("the table answers").is_some());
    let calls: Vec<String> = proxy.take().into_iter().flatten().collect();
    assert_eq!(calls, ["PutItem", "UpdateItem"]);
}

#[tokio::test]
async fn a_key_that_was_half_made_can_be_made() {
    let stack = Stack::shared();
    let (tenant, stranger) = (stack.tenant("half made").await, stack.tenant("stranger to the key").await);
    let (tenants, now) = (stack.tenants(), Timestamp::now());
    let key = ApiKey::new(&format!("half-{}", tenant.key)).hash();
    let hash = serde_json::to_value(&key).expect("JSON");
    let put = stack.dynamodb().put_item().table_name("TenantsTable");
    let put = put.item("pk", AttributeValue::S(format!("key#{}", hash.as_str().expect("a text"))));
    put.item("tenant_id", AttributeValue::S(tenant.id.to_string())).send().await.expect("the table answers");

    let add = async |tenant| {
        tenants.add_key(tenant, NewKey { key: &key, expires_at: None }, now).await.expect("the table answers")
    };
    assert!(add(&stranger.id).await.is_none(), "it is another tenant's");
    let made = add(&tenant.id).await.expect("it can be made");
    assert!(add(&tenant.id).await.is_none(), "it is made already");
    let access = tenants.access(&tenant.id).await.expect("the table answers").expect("a tenant");
    assert!(access.open(&key, now).is_ok() && access.keys().any(|(_, record)| record.key_id == made.key_id));
}
