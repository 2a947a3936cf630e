//! What goes wrong between a function and DynamoDB, and what becomes of it: a transaction that meets another one, a
//! request or an answer that is lost on its way.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::{
    domain::{
        chat::{ChatChange, NewChat},
        id::{ChatId, ConnectionId, IdempotencyKey, UserId},
        input::Fields,
        time::Timestamp,
    },
    storage::{AppendResult, ChatPosition, Chats, CreateResult, IdempotencyRequest, NewMessage},
};
use tests::{Exposed, Fault, Options, Proxy, Stack, Tenant, eventually};

/// The chats, with a proxy between.
async fn behind_a_proxy() -> (Proxy, Chats) {
    let stack = Stack::shared();
    let proxy = Proxy::without_delay(stack.dynamodb_endpoint()).await;
    let config = stack.dynamodb().config().to_builder().endpoint_url(&proxy.url).build();
    (proxy, Chats::new(Client::from_conf(config), "ChatsTable".to_owned()))
}

fn new_chat() -> NewChat {
    NewChat::read(Fields::from_json(br#"{"user_id":"u"}"#).expect("JSON")).expect("a chat")
}

/// How many chats the tenant's user has, and how many of them are listed.
async fn chats_of(tenant: &Tenant) -> (u64, usize) {
    let page = tenant.get("/api/v1/chats/user/u").await.body;
    (page["total"].as_u64().expect("a number"), page["chats"].as_array().expect("chats").len())
}

const SOMETHING: NewMessage<'static> = NewMessage { content: "x", client_id: None, model: "echo" };

#[tokio::test]
async fn a_transaction_that_meets_another_is_tried_again() {
    let tenant = Stack::shared().tenant("conflicts").await;
    let (proxy, chats) = behind_a_proxy().await;
    let now = Timestamp::now();

    proxy.inject("TransactWriteItems", 4, Fault::TransactionConflict);
    let created = chats.create(&tenant.id, new_chat(), None, now).await.expect("the fifth attempt succeeds");
    let CreateResult::Created(chat) = created else { panic!("not made: {created:?}") };
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));

    proxy.inject("TransactWriteItems", 4, Fault::TransactionConflict);
    let appended = chats.append(&tenant.id, &chat.chat_id, ChatPosition::default(), SOMETHING, now).await;
    assert!(matches!(appended, Ok(AppendResult::Stored(_))), "{appended:?}");
    let stored = tenant.get(&format!("/api/v1/chats/{}/messages", chat.chat_id)).await.body;
    assert_eq!((proxy.faults_left(), &stored["total"]), (0, &2.into()), "one message, and the place of its answer");

    // A plain write of an item that a transaction holds fails too.
    proxy.inject("UpdateItem", 4, Fault::TransactionConflict);
    let title = Fields::from_json(br#"{"title":"T"}"#).and_then(ChatChange::read).expect("a change");
    let changed = chats.update(&tenant.id, &chat.chat_id, title, now).await.expect("the fifth attempt succeeds");
    assert!(changed.expect("the chat is there").title.is_some() && proxy.faults_left() == 0);

    proxy.inject("TransactWriteItems", 4, Fault::TransactionConflict);
    assert!(chats.delete(&tenant.id, &chat.chat_id, now).await.expect("the fifth attempt succeeds"));
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
}

#[tokio::test]
async fn five_conflicts_in_a_row_are_enough_and_leave_nothing() {
    let tenant = Stack::shared().tenant("five conflicts").await;
    let (proxy, chats) = behind_a_proxy().await;
    proxy.inject("TransactWriteItems", 5, Fault::TransactionConflict);
    let created = chats.create(&tenant.id, new_chat(), None, Timestamp::now()).await;
    assert!(matches!(created, Err(shared::storage::StorageError::Contended { attempts: 5 })), "{created:?}");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
}

#[tokio::test]
async fn a_transaction_whose_answer_is_lost_is_carried_out_once() {
    let tenant = Stack::shared().tenant("lost answers").await;
    let (proxy, chats) = behind_a_proxy().await;
    let now = Timestamp::now();

    proxy.inject("TransactWriteItems", 2, Fault::LostAnswer);
    let created = chats.create(&tenant.id, new_chat(), None, now).await.expect("the third attempt succeeds");
    let CreateResult::Created(chat) = created else { panic!("not made: {created:?}") };
    let once = IdempotencyRequest::new(IdempotencyKey::parse("k").expect("a key"), b"body");
    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    let made = chats.create(&tenant.id, new_chat(), Some(&once), now).await;
    assert!(matches!(made, Ok(CreateResult::Created(_))), "{made:?}");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (2, 2)));

    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    let appended = chats.append(&tenant.id, &chat.chat_id, ChatPosition::default(), SOMETHING, now).await;
    assert!(matches!(appended, Ok(AppendResult::Stored(_))), "{appended:?}");
    let stored = tenant.get(&format!("/api/v1/chats/{}/messages", chat.chat_id)).await.body;
    assert_eq!(stored["total"], 2);

    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    let deleted = chats.delete(&tenant.id, &chat.chat_id, now).await;
    assert!(deleted.expect("the second attempt succeeds"), "its own mark is no reason to say that there is no chat");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));
}

/// The SDK's own attempts are used up, and the answer to the last one was a conflict with itself, so to say: what the
/// first one wrote must not be taken for somebody else's.
#[tokio::test]
async fn an_attempt_after_a_lost_answer_and_a_conflict_knows_its_own_writing() {
    let tenant = Stack::shared().tenant("lost, then a conflict").await;
    let (proxy, chats) = behind_a_proxy().await;
    let now = Timestamp::now();
    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    proxy.inject("TransactWriteItems", 1, Fault::TransactionConflict);
    let created = chats.create(&tenant.id, new_chat(), None, now).await.expect("the third attempt succeeds");
    let CreateResult::Created(chat) = created else { panic!("not made: {created:?}") };
    assert_eq!(chats_of(&tenant).await, (1, 1));
    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    proxy.inject("TransactWriteItems", 1, Fault::TransactionConflict);
    assert!(chats.delete(&tenant.id, &chat.chat_id, now).await.expect("the third attempt succeeds"));
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
}

#[tokio::test]
async fn requests_that_are_lost_or_refused_for_a_moment_are_sent_again() {
    let tenant = Stack::shared().tenant("a bad moment").await;
    let (proxy, chats) = behind_a_proxy().await;
    for fault in [Fault::LostRequest, Fault::ServerError, Fault::Throttled] {
        proxy.inject("TransactWriteItems", 1, fault);
        let created = chats.create(&tenant.id, new_chat(), None, Timestamp::now()).await;
        assert!(matches!(created, Ok(CreateResult::Created(_))), "{fault:?}: {created:?}");
    }
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (3, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_the_outcome_and_nothing_of_the_faults() {
    let proxy = Proxy::without_delay(Stack::shared().dynamodb_endpoint()).await;
    let arguments = ["--no-reload", "--dynamodb-endpoint", &proxy.url].map(str::to_owned).to_vec();
    let options = Options { arguments, ..Options::binaries() };
    let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await.expect("the stack starts");
    let tenant = stack.tenant("faults").await;
    let body = json!({ "user_id": "u" });
    let create = async || {
        tenant.send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "k").json(&body)).await
    };

    proxy.inject("TransactWriteItems", 5, Fault::TransactionConflict);
    let refused = create().await;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"));
    assert_eq!(chats_of(&tenant).await, (0, 0));

    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    let (made, again) = (create().await, create().await);
    assert_eq!((made.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(made.body, again.body);
    // More often than the SDK tries: the caller is told to try again, and then gets the chat that was made.
    let other = json!({ "user_id": "v" });
    let create = async || {
        tenant.send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "l").json(&other)).await
    };
    proxy.inject("TransactWriteItems", 3, Fault::LostAnswer);
    assert_eq!(create().await.code(), "UNAVAILABLE");
    assert_eq!(create().await.status, StatusCode::CREATED);
    assert_eq!(tenant.get("/api/v1/chats/user/v").await.body["total"], 1);
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));

    let chat = made.body["chat_id"].as_str().expect("an id");
    let path = format!("/api/v1/chats/{chat}");
    let mut socket = tenant.connect(chat, "u").await;
    proxy.inject("TransactWriteItems", 2, Fault::TransactionConflict);
    socket.say("Hello").await;
    let stored = tenant.get(&format!("{path}/messages")).await.body;
    assert_eq!((proxy.faults_left(), &stored["total"]), (0, &2.into()));

    proxy.inject("TransactWriteItems", 1, Fault::LostAnswer);
    assert_eq!(tenant.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(tenant.get(&path).await.code(), "CHAT_NOT_FOUND");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
    let id = ChatId::parse(chat).expect("an id");
    eventually("the chat is purged", async || {
        let query = stack.dynamodb().query().table_name("ChatsTable").key_condition_expression("pk = :pk");
        let pk = AttributeValue::S(format!("{}#{id}", tenant.id));
        query.expression_attribute_values(":pk", pk).send().await.expect("the table answers").count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_user_is_new_once_also_when_the_answer_that_says_so_is_lost() {
    let tenant = Stack::shared().tenant("new once").await;
    let (proxy, chats) = behind_a_proxy().await;
    let user = UserId::parse("u").expect("a user");
    let [first, second] = ["one=", "two="].map(ConnectionId::from_gateway);
    proxy.inject("UpdateItem", 1, Fault::LostAnswer);
    let greeted = async |socket| chats.greet(&tenant.id, &user, socket, Timestamp::now()).await.expect("it answers");
    assert!(greeted(&first).await, "what the first attempt wrote is not somebody else's");
    assert!(!greeted(&second).await);
    assert_eq!(proxy.faults_left(), 0);
}

/// The SDK tries three times; then it is up to whoever has the time. After the answer nobody waits.
#[tokio::test(flavor = "multi_thread")]
async fn work_after_the_answer_is_done_although_dynamodb_has_a_bad_moment() {
    let exposed = Exposed::start(1).await;
    let tenant = exposed.stack.tenant("bad moment").await;
    let chat = tenant.chat("u").await;
    let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
    exposed.tables.inject("Query ConnectionsTable", 3, Fault::ServerError);
    one.say("Hello").await;
    assert_eq!(other.until_end().await.last().map(|end| &end["content"]), Some(&json!("You said: Hello")));

    exposed.tables.inject("Query ConnectionsTable", 3, Fault::ServerError);
    assert_eq!(tenant.delete(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NO_CONTENT);
    for mut socket in [one, other] {
        assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
        socket.closed().await;
    }
    assert_eq!(exposed.tables.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_again_that_api_gateway_does_not_take_at_once() {
    let exposed = Exposed::start(1).await;
    let tenant = exposed.stack.tenant("short of capacity").await;
    let mut socket = tenant.connect(&tenant.chat("u").await, "u").await;
    socket.next_of("user_created").await;
    for fault in [Fault::Throttled, Fault::ServerError, Fault::LostRequest] {
        exposed.sockets.inject("POST", 2, fault);
        socket.send(&json!({ "type": "ping" })).await;
        socket.next_of("pong").await;
        exposed.sockets.inject("POST", 2, fault);
        socket.send(&json!({ "type": "what?" })).await;
        assert_eq!(socket.next_of("error").await["error"]["code"], "UNKNOWN_TYPE");
    }
    assert_eq!(exposed.sockets.faults_left(), 0);
}
