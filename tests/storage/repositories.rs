//! The repositories under concurrency.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use shared::{
    auth::{Authenticator, RECHECK_INTERVAL},
    domain::{
        api_key::{ApiKey, KeyHash},
        chat::ChatConfig,
        connection::{Connection, ConnectionGrant},
        error::Code,
        generation::Outcome,
        id::{ChatId, ConnectionId, UserId},
        limits::{Limits, RateLimitBucket},
        message::{FinishReason, Message, Status, Usage},
        pagination::{Order, PageRequest},
        tenant::{NewKey, NewLimits},
        ticket::TicketText,
        time::Timestamp,
    },
    generation,
    storage::{
        Admission, AppendResult, ChatPosition, FinishResult, FrameAdmission, MessageRepository, NewMessage,
        TenantRepository,
    },
};
use tests::{FaultProxy, Stack, Tenant, new_message, take_slot};

const MESSAGE: NewMessage<'static> = new_message("x");

#[tokio::test]
async fn simultaneous_messages_get_consecutive_seqs() {
    let stack = Stack::shared();
    let tenant = stack.tenant("race").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let messages = stack.messages();
    // All four assume an empty chat; three conflict and retry.
    let appended = join_all(
        (0..4).map(|_| messages.append(&tenant.id, &chat, ChatPosition::default(), MESSAGE, Timestamp::now())),
    )
    .await;
    let mut seqs: Vec<u32> = appended
        .into_iter()
        .map(|appended| match appended.expect("DynamoDB responds") {
            AppendResult::Stored(exchange) => exchange.message.seq,
            other => panic!("not stored: {other:?}"),
        })
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [0, 2, 4, 6]);

    let page = PageRequest { offset: 0, limit: 200, order: Order::Asc };
    let (messages, total) = messages
        .list(&tenant.id, &chat, page, Timestamp::now())
        .await
        .expect("DynamoDB responds")
        .expect("the chat exists");
    assert_eq!(total, 8);
    assert!((0..8).eq(messages.iter().map(|message| message.seq)));
}

#[tokio::test]
async fn generation_is_finished_once() {
    let stack = Stack::shared();
    let tenant = stack.tenant("finished once").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let (messages, generations) = (stack.messages(), stack.generations());
    let now = Timestamp::now();
    let appended =
        messages.append(&tenant.id, &chat, ChatPosition::default(), MESSAGE, now).await.expect("DynamoDB responds");
    let AppendResult::Stored(exchange) = appended else { panic!("not stored: {appended:?}") };
    let outcome = |content: &str| Outcome {
        content: content.to_owned(),
        status: Status::Complete,
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        first_token_ms: None,
    };
    let (first, second) = (outcome("first"), outcome("second"));
    let lease = generations.lease(&tenant.id, &chat, &exchange.generation);
    let later = now.plus(Duration::from_secs(1));
    assert_eq!(lease.finish(&first, now).await.expect("DynamoDB responds"), FinishResult::Stored);
    assert_eq!(
        lease.finish(&first, now).await.expect("DynamoDB responds"),
        FinishResult::Stored,
        "repeated after a lost response"
    );
    assert_eq!(lease.finish(&second, later).await.expect("DynamoDB responds"), FinishResult::Lost);
    let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
    assert_eq!(stored["messages"][1]["content"], "first");
}

#[tokio::test]
async fn message_for_a_deleted_chat_is_refused() {
    let stack = Stack::shared();
    let tenant = stack.tenant("gone").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let (chats, messages) = (stack.chats(), stack.messages());
    let now = Timestamp::now();
    assert!(chats.delete(&tenant.id, &chat, now).await.expect("DynamoDB responds"));
    let append = async || {
        messages.append(&tenant.id, &chat, ChatPosition::default(), MESSAGE, now).await.expect("DynamoDB responds")
    };
    assert!(matches!(append().await, AppendResult::NoChat));
    chats.purge(&tenant.id, &chat).await.expect("DynamoDB responds");
    chats.purge(&tenant.id, &chat).await.expect("purge is idempotent");
    assert!(matches!(append().await, AppendResult::NoChat));
}

#[tokio::test]
async fn simultaneous_admissions_stop_at_the_limit() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("access race", Limits::default()).await;
    let (tenants, key, now) = (stack.tenants(), ApiKey::new(&tenant.key).hash(), Timestamp::now());
    let admissions = join_all((0..200).map(|_| tenants.admit(&tenant.id, &key, RateLimitBucket::Rest, now))).await;
    let admitted = admissions
        .into_iter()
        .filter(|admission| matches!(admission.as_ref().expect("DynamoDB responds"), Admission::Admitted(..)));
    assert_eq!(admitted.count(), 100);
}

/// A connection of an arbitrary chat.
fn connection(tenant: &Tenant, id: &str, now: Timestamp) -> Connection {
    let grant = ConnectionGrant {
        tenant_id: tenant.id.clone(),
        key: ApiKey::new(&tenant.key).hash(),
        user_id: UserId::parse("u").expect("a user"),
        chat_id: ChatId::generate(),
    };
    Connection::open(ConnectionId::from_gateway(format!("{}-{id}", tenant.id)), grant, now)
}

#[tokio::test]
async fn simultaneous_connection_slots_stop_at_the_limit() {
    let stack = Stack::shared();
    let tenant = stack.tenant("slot race").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    // Slots are named by millisecond and six digits, which two of 200 may share within one millisecond.
    let opened_at = |number: u64| now.plus(Duration::from_millis(number));
    let opening: Vec<Connection> =
        (0..200).map(|number| connection(&tenant, &number.to_string(), opened_at(number))).collect();
    let taken = join_all(opening.iter().map(|connection| take_slot(&connections, connection, 50))).await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 50);
    assert_eq!(connections.slots().list(&tenant.id).await.expect("DynamoDB responds").len(), 50);

    // A repetition has the same results.
    let again = join_all(opening.iter().map(|connection| take_slot(&connections, connection, 50))).await;
    assert_eq!(again, taken);
    assert!(!take_slot(&connections, &connection(&tenant, "none", now), 0).await);
}

#[tokio::test]
async fn slot_freed_twice_is_one_free_slot() {
    let stack = Stack::shared();
    let tenant = stack.tenant("freed twice").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    let [one, two, three, four] = ["1", "2", "3", "4"].map(|id| connection(&tenant, id, now));
    let lease = async |connection| take_slot(&connections, connection, 2).await;
    assert_eq!((lease(&one).await, lease(&two).await, lease(&three).await), (true, true, false));
    for _ in 0..2 {
        connections.end(&one).await.expect("DynamoDB responds");
    }
    assert_eq!((lease(&three).await, lease(&four).await), (true, false));
}

#[tokio::test]
async fn one_of_simultaneous_redemptions_of_a_ticket_succeeds() {
    let stack = Stack::shared();
    let tenant = stack.tenant("redeem race").await;
    let (tickets, now) = (stack.tickets(), Timestamp::now());
    let (ticket, grant) = (TicketText::generate(), connection(&tenant, "ticket", now).grant);
    tickets.put(&ticket, grant.clone(), now.plus(Duration::from_secs(60))).await.expect("DynamoDB responds");
    let redeemed = join_all((0..50).map(|_| tickets.redeem(&ticket, now))).await;
    let grants: Vec<ConnectionGrant> =
        redeemed.into_iter().filter_map(|redeemed| redeemed.expect("DynamoDB responds")).collect();
    assert_eq!(grants, [grant]);
}

#[tokio::test]
async fn admitted_frame_shows_whether_the_first_event_was_sent() {
    let stack = Stack::shared();
    let tenant = stack.tenant("greeted").await;
    let (connections, now) = (stack.connections(), Timestamp::now());
    let connection = connection(&tenant, "greeted", now);
    let greeted =
        async || match connections.admit_frame(&connection.connection_id, now).await.expect("DynamoDB responds") {
            FrameAdmission::Allowed(connection) => Some(connection.established),
            FrameAdmission::RateLimited(..) | FrameAdmission::Unknown => None,
        };
    connections.put(&connection).await.expect("DynamoDB responds");
    assert_eq!(greeted().await, Some(false));
    connections.mark_established(&connection).await.expect("DynamoDB responds");
    assert_eq!(greeted().await, Some(true));
    assert_eq!(connections.is_established(&connection).await.expect("DynamoDB responds"), Some(true));

    connections.end(&connection).await.expect("DynamoDB responds");
    connections.mark_established(&connection).await.expect("a removed connection is no error");
    assert_eq!(greeted().await, None);
    assert_eq!(connections.is_established(&connection).await.expect("DynamoDB responds"), None);
}

#[tokio::test]
async fn key_of_an_open_socket_is_rechecked_every_30_seconds() {
    let stack = Stack::shared();
    let tenant = stack.tenant("rechecked").await;
    let (key, now) = (ApiKey::new(&tenant.key).hash(), Timestamp::now());
    let authenticator = Authenticator::new(stack.tenants());
    let recheck = async |after| authenticator.recheck(&tenant.id, &key, now.plus(after)).await.map_err(|e| e.code());
    assert_eq!(recheck(Duration::ZERO).await, Ok(()));
    assert!(stack.tenants().revoke_key(&tenant.id, &key).await.expect("DynamoDB responds"));
    assert_eq!(recheck(RECHECK_INTERVAL - Duration::from_millis(1)).await, Ok(()), "no recheck yet");
    assert_eq!(recheck(RECHECK_INTERVAL).await, Err(Code::ConnectionClosing));
    assert_eq!(recheck(Duration::ZERO).await, Ok(()), "the result of a recheck is remembered");
}

#[tokio::test]
async fn simultaneous_changes_of_different_limits_are_both_stored() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("two admins", Limits::default()).await;
    let tenants = stack.tenants();
    for number in 1..20 {
        let rest = NewLimits { rest_per_minute: Some(number), ..NewLimits::default() };
        let connections = NewLimits { connections: Some(number), ..NewLimits::default() };
        let set = join_all([rest, connections].map(|new| tenants.set_limits(&tenant.id, new))).await;
        assert!(set.into_iter().all(|set| set.expect("DynamoDB responds")));
        let limits = tenants.access(&tenant.id).await.expect("DynamoDB responds").expect("a tenant").limits;
        let expected = Limits { rest_per_minute: number, connections: number, ..Limits::default() };
        assert_eq!(limits, expected);
    }
}

/// A transaction on the access item would make simultaneous admissions fail.
#[tokio::test]
async fn key_is_added_without_a_transaction() {
    let stack = Stack::shared();
    let tenant = stack.tenant("plain writes").await;
    let proxy = FaultProxy::start_delayed(stack.dynamodb_endpoint()).await;
    let tenants = TenantRepository::new(stack.dynamodb_at(&proxy.url), "TenantsTable".to_owned());
    let key = ApiKey::new(&format!("second-{}", tenant.key)).hash();
    let added = tenants.add_key(&tenant.id, NewKey { key: &key, expires_at: None }, Timestamp::now()).await;
    assert!(added.expect("DynamoDB responds").is_some());
    let calls: Vec<String> = proxy.take_round_trips().into_iter().flatten().collect();
    assert_eq!(calls, ["PutItem", "UpdateItem"]);
}

#[tokio::test]
async fn half_added_key_can_be_added_again() {
    let stack = Stack::shared();
    let (tenant, other) = (stack.tenant("half added").await, stack.tenant("other").await);
    let (tenants, now) = (stack.tenants(), Timestamp::now());
    let key = ApiKey::new(&format!("half-{}", tenant.key)).hash();
    let put = stack.dynamodb().put_item().table_name("TenantsTable").item("pk", owner_pk(&key));
    put.item("tenant_id", AttributeValue::S(tenant.id.to_string())).send().await.expect("DynamoDB responds");

    let add = async |tenant| {
        tenants.add_key(tenant, NewKey { key: &key, expires_at: None }, now).await.expect("DynamoDB responds")
    };
    assert!(add(&other.id).await.is_none(), "it belongs to another tenant");
    let added = add(&tenant.id).await.expect("it is added");
    assert!(add(&tenant.id).await.is_none(), "it exists");
    let access = tenants.access(&tenant.id).await.expect("DynamoDB responds").expect("a tenant");
    assert!(access.check(&key, now).is_ok() && access.keys().any(|(_, record)| record.key_id == added.key_id));
}

/// The TTL of a key's owner, in epoch seconds; `None` without the item.
async fn owner_ttl(stack: &Stack, key: &KeyHash) -> Option<Option<i64>> {
    let get = stack.dynamodb().get_item().table_name("TenantsTable").key("pk", owner_pk(key)).consistent_read(true);
    let item = get.send().await.expect("DynamoDB responds").item?;
    Some(item.get("ttl").map(|ttl| ttl.as_n().expect("a number").parse().expect("seconds")))
}

fn owner_pk(key: &KeyHash) -> AttributeValue {
    let hash = serde_json::to_value(key).expect("JSON");
    AttributeValue::S(format!("key#{}", hash.as_str().expect("a text")))
}

#[tokio::test]
async fn owner_of_a_key_expires_with_the_key() {
    let stack = Stack::shared();
    let (tenant, tenants, now) = (stack.tenant("expiring owner").await, stack.tenants(), Timestamp::now());
    let hour = Duration::from_secs(60 * 60);
    let [key, lasting] = ["a", "b"].map(|name| ApiKey::new(&format!("{name}-{}", tenant.key)).hash());
    let add = async |key, expires_at| {
        tenants.add_key(&tenant.id, NewKey { key, expires_at }, now).await.expect("DynamoDB responds").is_some()
    };
    assert!(add(&key, Some(now.plus(hour))).await && add(&lasting, None).await);
    let second_after = |time: Timestamp| Some(Some(time.as_seconds() + 1));
    assert_eq!(owner_ttl(stack, &key).await, second_after(now.plus(hour)));
    assert_eq!(owner_ttl(stack, &lasting).await, Some(None));

    // A refused addition changes nothing.
    assert!(!add(&key, None).await && !add(&lasting, Some(now.plus(hour))).await);
    assert_eq!(owner_ttl(stack, &key).await, second_after(now.plus(hour)));
    assert_eq!(owner_ttl(stack, &lasting).await, Some(None));

    for (key, expires_at) in [(&key, now.plus(2 * hour)), (&lasting, now.plus(hour))] {
        assert!(tenants.set_key_expiry(&tenant.id, key, expires_at).await.expect("DynamoDB responds"));
        assert_eq!(owner_ttl(stack, key).await, second_after(expires_at));
    }
    let unknown = ApiKey::new(&format!("c-{}", tenant.key)).hash();
    assert!(!tenants.set_key_expiry(&tenant.id, &unknown, now).await.expect("DynamoDB responds"));
    assert_eq!(owner_ttl(stack, &unknown).await, None);
}

/// What DynamoDB's TTL does, at any time after the expiry.
#[tokio::test]
async fn expired_key_without_an_owner_is_refused_and_can_be_revoked() {
    let stack = Stack::shared();
    let (tenant, other) = (stack.tenant("without an owner").await, stack.tenant("next owner").await);
    let (tenants, now) = (stack.tenants(), Timestamp::now());
    let key = ApiKey::new(&format!("expired-{}", tenant.key)).hash();
    let new = NewKey { key: &key, expires_at: Some(now) };
    assert!(tenants.add_key(&tenant.id, new, now).await.expect("DynamoDB responds").is_some());
    let delete = stack.dynamodb().delete_item().table_name("TenantsTable").key("pk", owner_pk(&key));
    delete.send().await.expect("DynamoDB responds");

    assert_eq!(tenants.owner_of(&key).await.expect("DynamoDB responds"), None);
    let later = now.plus(Duration::from_secs(60));
    assert!(!tenants.set_key_expiry(&tenant.id, &key, later).await.expect("DynamoDB responds"), "it stays expired");
    let moved = tenants.add_key(&other.id, NewKey { key: &key, expires_at: None }, now).await;
    assert!(moved.expect("DynamoDB responds").is_some());
    assert!(tenants.revoke_key(&tenant.id, &key).await.expect("DynamoDB responds"));
    assert_eq!(tenants.owner_of(&key).await.expect("DynamoDB responds"), Some(other.id.clone()));
}

#[tokio::test]
async fn context_window_reads_few_long_and_many_short_messages() {
    let stack = Stack::shared();
    let (tenant, now) = (stack.tenant("context window").await, Timestamp::now());
    let proxy = FaultProxy::start(stack.dynamodb_endpoint()).await;
    let messages = MessageRepository::new(stack.dynamodb_at(&proxy.url), "ChatsTable".to_owned());
    let (long, short) = ("x".repeat(20_000), "x".repeat(20));
    for (content, exchanges, read, queries) in [(&long, 10, 12, 1), (&short, 10, 20, 2), (&short, 6, 12, 1)] {
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        for _ in 0..exchanges {
            stack.exchange(&tenant, &chat, content).await;
        }
        let more = |config: &ChatConfig, newest_first: &[Message]| {
            generation::messages_to_read(newest_first, Some("new"), config, 8_000)
        };
        let conversation = messages.conversation(&tenant.id, &chat, generation::FIRST_MESSAGES, now, more).await;
        let conversation = conversation.expect("DynamoDB responds").expect("a chat");
        let seqs: Vec<u32> = conversation.recent.iter().map(|message| message.seq).collect();
        let total = exchanges * 2;
        assert_eq!(seqs, (total - read..total).collect::<Vec<u32>>());
        assert_eq!(proxy.take_calls(), vec!["Query"; queries]);
        assert_eq!(conversation.position.message_count(), total);
    }
}
