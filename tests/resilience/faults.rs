//! Single faults between a function and DynamoDB or `@connections`: transaction conflicts, throttling, lost requests and
//! lost responses.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::{
    domain::{
        chat::{ChatChange, NewChat},
        id::{ChatId, ConnectionId, IdempotencyKey, UserId},
        input::Fields,
        time::Timestamp,
    },
    storage::{
        AppendResult, ChatPosition, ChatRepository, CreateResult, IdempotencyRequest, MessageRepository, NewMessage,
        UserRepository,
    },
};
use tests::{Fault, FaultProxy, FaultyStack, Stack, Tenant, eventually, new_message};

/// A client of DynamoDB behind a fault proxy.
async fn behind_a_proxy() -> (FaultProxy, Client) {
    let stack = Stack::shared();
    let proxy = FaultProxy::start(stack.dynamodb_endpoint()).await;
    let client = stack.dynamodb_at(&proxy.url);
    (proxy, client)
}

fn chats(client: &Client) -> ChatRepository {
    ChatRepository::new(client.clone(), "ChatsTable".to_owned())
}

fn messages(client: &Client) -> MessageRepository {
    MessageRepository::new(client.clone(), "ChatsTable".to_owned())
}

fn new_chat() -> NewChat {
    NewChat::read(Fields::from_json(br#"{"user_id":"u"}"#).expect("JSON")).expect("a chat")
}

/// The user's `total`, and the number of listed chats.
async fn chats_of(tenant: &Tenant) -> (u64, usize) {
    let page = tenant.get("/api/v1/chats/user/u").await.body;
    (page["total"].as_u64().expect("a number"), page["chats"].as_array().expect("chats").len())
}

const MESSAGE: NewMessage<'static> = new_message("x");

#[tokio::test]
async fn transaction_conflict_is_retried() {
    let tenant = Stack::shared().tenant("conflicts").await;
    let (proxy, client) = behind_a_proxy().await;
    let (chats, messages) = (chats(&client), messages(&client));
    let now = Timestamp::now();

    proxy.inject("TransactWriteItems", 9, Fault::TransactionConflict);
    let created = chats.create(&tenant.id, new_chat(), None, now).await.expect("the tenth attempt succeeds");
    let CreateResult::Created(chat) = created else { panic!("not created: {created:?}") };
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));

    proxy.inject("TransactWriteItems", 4, Fault::TransactionConflict);
    let appended = messages.append(&tenant.id, &chat.chat_id, ChatPosition::default(), MESSAGE, now).await;
    assert!(matches!(appended, Ok(AppendResult::Stored(_))), "{appended:?}");
    let stored = tenant.get(&format!("/api/v1/chats/{}/messages", chat.chat_id)).await.body;
    assert_eq!((proxy.faults_left(), &stored["total"]), (0, &2.into()), "the message and the place of its answer");

    // A plain write conflicts with a transaction too.
    proxy.inject("UpdateItem", 4, Fault::TransactionConflict);
    let title = Fields::from_json(br#"{"title":"T"}"#).and_then(ChatChange::read).expect("a change");
    let changed = chats.update(&tenant.id, &chat.chat_id, title, now).await.expect("the fifth attempt succeeds");
    assert!(changed.expect("the chat exists").title.is_some() && proxy.faults_left() == 0);

    proxy.inject("TransactWriteItems", 4, Fault::TransactionConflict);
    assert!(chats.delete(&tenant.id, &chat.chat_id, now).await.expect("the fifth attempt succeeds"));
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
}

#[tokio::test]
async fn fifth_conflict_of_a_deletion_is_an_error_and_deletes_nothing() {
    let tenant = Stack::shared().tenant("five conflicts").await;
    let (proxy, client) = behind_a_proxy().await;
    let chats = chats(&client);
    let created = chats.create(&tenant.id, new_chat(), None, Timestamp::now()).await;
    let Ok(CreateResult::Created(chat)) = created else { panic!("not created: {created:?}") };
    proxy.inject("TransactWriteItems", 5, Fault::TransactionConflict);
    let deleted = chats.delete(&tenant.id, &chat.chat_id, Timestamp::now()).await;
    assert!(matches!(deleted, Err(shared::storage::StorageError::Contended { attempts: 5 })), "{deleted:?}");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));
}

#[tokio::test]
async fn transaction_with_a_lost_response_is_executed_once() {
    let tenant = Stack::shared().tenant("lost responses").await;
    let (proxy, client) = behind_a_proxy().await;
    let (chats, messages) = (chats(&client), messages(&client));
    let now = Timestamp::now();

    proxy.inject("TransactWriteItems", 2, Fault::LostResponse);
    let created = chats.create(&tenant.id, new_chat(), None, now).await.expect("the third attempt succeeds");
    let CreateResult::Created(chat) = created else { panic!("not created: {created:?}") };
    let idempotency = IdempotencyRequest::new(IdempotencyKey::parse("k").expect("a key"), b"body");
    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    let idempotent = chats.create(&tenant.id, new_chat(), Some(&idempotency), now).await;
    assert!(matches!(idempotent, Ok(CreateResult::Created(_))), "{idempotent:?}");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (2, 2)));

    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    let appended = messages.append(&tenant.id, &chat.chat_id, ChatPosition::default(), MESSAGE, now).await;
    assert!(matches!(appended, Ok(AppendResult::Stored(_))), "{appended:?}");
    let stored = tenant.get(&format!("/api/v1/chats/{}/messages", chat.chat_id)).await.body;
    assert_eq!(stored["total"], 2);

    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    let deleted = chats.delete(&tenant.id, &chat.chat_id, now).await;
    assert!(deleted.expect("the second attempt succeeds"), "the first attempt deleted it, so the result is a success");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));
}

/// The first attempt wrote, its response is lost, and the SDK's retry conflicts: the third attempt must recognize the
/// first one's items.
#[tokio::test]
async fn retry_after_a_lost_response_and_a_conflict_recognizes_its_own_write() {
    let tenant = Stack::shared().tenant("lost, then a conflict").await;
    let (proxy, client) = behind_a_proxy().await;
    let chats = chats(&client);
    let now = Timestamp::now();
    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    proxy.inject("TransactWriteItems", 1, Fault::TransactionConflict);
    let created = chats.create(&tenant.id, new_chat(), None, now).await.expect("the third attempt succeeds");
    let CreateResult::Created(chat) = created else { panic!("not created: {created:?}") };
    assert_eq!(chats_of(&tenant).await, (1, 1));
    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    proxy.inject("TransactWriteItems", 1, Fault::TransactionConflict);
    assert!(chats.delete(&tenant.id, &chat.chat_id, now).await.expect("the third attempt succeeds"));
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
}

#[tokio::test]
async fn transient_errors_are_retried() {
    let tenant = Stack::shared().tenant("transient errors").await;
    let (proxy, client) = behind_a_proxy().await;
    let chats = chats(&client);
    for fault in [Fault::LostRequest, Fault::ServerError, Fault::Throttled] {
        proxy.inject("TransactWriteItems", 1, fault);
        let created = chats.create(&tenant.id, new_chat(), None, Timestamp::now()).await;
        assert!(matches!(created, Ok(CreateResult::Created(_))), "{fault:?}: {created:?}");
    }
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (3, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_results_and_no_faults() {
    let proxy = FaultProxy::start(Stack::shared().dynamodb_endpoint()).await;
    let stack = Stack::start_with(&["--dynamodb-endpoint", &proxy.url]).await;
    let tenant = stack.tenant("faults").await;
    let body = json!({ "user_id": "u" });
    let create = async || {
        tenant.send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "k").json(&body)).await
    };

    proxy.inject("TransactWriteItems", 3, Fault::ServerError);
    let refused = create().await;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"));
    assert_eq!(chats_of(&tenant).await, (0, 0));

    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    let (created, again) = (create().await, create().await);
    assert_eq!((created.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(created.body, again.body);
    // More faults than the SDK's attempts: the client gets UNAVAILABLE, and its retry gets the chat that was created.
    let other = json!({ "user_id": "v" });
    let create = async || {
        tenant.send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", "l").json(&other)).await
    };
    proxy.inject("TransactWriteItems", 3, Fault::LostResponse);
    assert_eq!(create().await.code(), "UNAVAILABLE");
    assert_eq!(create().await.status, StatusCode::CREATED);
    assert_eq!(tenant.get("/api/v1/chats/user/v").await.body["total"], 1);
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (1, 1)));

    let chat = created.body["chat_id"].as_str().expect("an id");
    let path = format!("/api/v1/chats/{chat}");
    let mut socket = tenant.connect(chat, "u").await;
    proxy.inject("TransactWriteItems", 2, Fault::TransactionConflict);
    socket.say("Hello").await;
    let stored = tenant.get(&format!("{path}/messages")).await.body;
    assert_eq!((proxy.faults_left(), &stored["total"]), (0, &2.into()));

    proxy.inject("TransactWriteItems", 1, Fault::LostResponse);
    assert_eq!(tenant.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(tenant.get(&path).await.code(), "CHAT_NOT_FOUND");
    assert_eq!((proxy.faults_left(), chats_of(&tenant).await), (0, (0, 0)));
    let id = ChatId::parse(chat).expect("an id");
    eventually("the chat is purged", async || {
        let query = stack.dynamodb().query().table_name("ChatsTable").key_condition_expression("pk = :pk");
        let pk = AttributeValue::S(format!("{}#{id}", tenant.id));
        query.expression_attribute_values(":pk", pk).send().await.expect("DynamoDB responds").count() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_of_a_deleted_chat_is_closed_although_closes_fail() {
    let faulty = FaultyStack::start(1).await;
    let tenant = faulty.stack.tenant("failed closes").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.next_of("user_created").await;
    faulty.connections.inject("DELETE", 2, Fault::Throttled);
    assert_eq!(tenant.delete(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
    socket.closed().await;
    assert_eq!(faulty.connections.faults_left(), 0);
}

/// The proxy answers no deletion of messages.
#[tokio::test(flavor = "multi_thread")]
async fn purge_that_stalls_is_cut_off_and_left_to_maintenance() {
    let stalls = |called: String| async move {
        if called == "BatchWriteItem" {
            std::future::pending::<()>().await;
        }
        None
    };
    let proxy = FaultProxy::start_with_hook(Stack::shared().dynamodb_endpoint(), stalls).await;
    let stack = Stack::start_with(&["--dynamodb-endpoint", &proxy.url]).await;
    let tenant = stack.tenant("long purge").await;
    let chat = tenant.chat("u").await;
    stack.exchange(&tenant, &ChatId::parse(&chat).expect("an id"), "something to purge").await;
    assert_eq!(tenant.delete(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NO_CONTENT);
    let is_cut_off =
        |line: &Value| line["error.cause"].as_str().is_some_and(|cause| cause.contains("left to maintenance"));
    stack.line_that("attempt failed", is_cut_off).await;
    stack.line_that("after-response work ended", |line| line["task"] == "purge").await;
}

#[tokio::test]
async fn user_is_created_once_if_the_response_is_lost() {
    let tenant = Stack::shared().tenant("new once").await;
    let (proxy, client) = behind_a_proxy().await;
    let users = UserRepository::new(client, "ChatsTable".to_owned());
    let user = UserId::parse("u").expect("a user");
    let [first, second] = ["one=", "two="].map(ConnectionId::from_gateway);
    proxy.inject("UpdateItem", 1, Fault::LostResponse);
    let is_created =
        async |socket| users.record_connection(&tenant.id, &user, socket, Timestamp::now()).await.expect("it answers");
    assert!(is_created(&first).await, "it recognizes the write of its first attempt");
    assert!(!is_created(&second).await);
    assert_eq!(proxy.faults_left(), 0);
}

/// After the SDK's three attempts the function retries, since no client waits for work after the response.
#[tokio::test(flavor = "multi_thread")]
async fn work_after_the_response_is_retried() {
    let faulty = FaultyStack::start(1).await;
    let tenant = faulty.stack.tenant("work after the response").await;
    let chat = tenant.chat("u").await;
    let (mut one, mut other) = (tenant.connect(&chat, "u").await, tenant.connect(&chat, "u").await);
    faulty.tables.inject("Query ConnectionsTable", 3, Fault::ServerError);
    one.say("Hello").await;
    assert_eq!(other.until_end().await.last().map(|end| &end["content"]), Some(&json!("You said: Hello")));

    faulty.tables.inject("Query ConnectionsTable", 3, Fault::ServerError);
    assert_eq!(tenant.delete(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NO_CONTENT);
    for mut socket in [one, other] {
        assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
        socket.closed().await;
    }
    assert_eq!(faulty.tables.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_post_is_retried() {
    let faulty = FaultyStack::start(1).await;
    let tenant = faulty.stack.tenant("failed posts").await;
    let mut socket = tenant.connect(&tenant.chat("u").await, "u").await;
    socket.next_of("user_created").await;
    for fault in [Fault::Throttled, Fault::ServerError, Fault::LostRequest] {
        faulty.connections.inject("POST", 2, fault);
        socket.send(&json!({ "type": "ping" })).await;
        socket.next_of("pong").await;
        faulty.connections.inject("POST", 2, fault);
        socket.send(&json!({ "type": "unknown" })).await;
        assert_eq!(socket.next_of("error").await["error"]["code"], "UNKNOWN_TYPE");
    }
    assert_eq!(faulty.connections.faults_left(), 0);
}

/// The greeting fails, and so does the removal of its connection.
#[tokio::test(flavor = "multi_thread")]
async fn failed_greeting_is_logged_as_one_failed_request() {
    let faulty = FaultyStack::start(1).await;
    let tenant = faulty.stack.tenant("failed greeting").await;
    let chat = tenant.chat("u").await;
    let always = 1_000;
    faulty.tables.inject("UpdateItem ChatsTable", always, Fault::ServerError);
    faulty.tables.inject("DeleteItem ConnectionsTable", always, Fault::ServerError);
    let mut socket = tenant.connect(&chat, "u").await;
    let error = socket.next_of("error").await;
    assert_eq!(error["error"]["code"], "UNAVAILABLE");
    let count = |message: &str| {
        let log = faulty.stack.log_of("ws-connect");
        log.iter().filter(|line| line["request_id"] == error["request_id"] && line["message"] == message).count()
    };
    eventually("the connection was not removed", async || count("connection not removed") == 1).await;
    assert_eq!((count("request completed"), count("request failed")), (1, 1));
}
