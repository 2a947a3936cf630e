//! `DELETE /api/v1/chats/{chat_id}`.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::domain::{id::ChatId, time::Timestamp};
use tests::{Stack, Tenant, eventually};

/// How many items of a chat are in the table.
async fn items_left(stack: &Stack, tenant: &Tenant, chat: &str) -> i32 {
    let query = stack.dynamodb().query().table_name("ChatsTable").key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(format!("{}#{chat}", tenant.id)));
    query.send().await.expect("DynamoDB responds").count()
}

async fn until_purged(stack: &Stack, tenant: &Tenant, chat: &str) {
    eventually("the chat is purged", async || items_left(stack, tenant, chat).await == 0).await;
}

#[tokio::test]
async fn deleted_chat_is_gone_immediately_and_purged_afterwards() {
    let stack = Stack::shared();
    let tenant = stack.tenant("delete").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let id = ChatId::parse(&chat).expect("an id");
    for _ in 0..14 {
        stack.exchange(&tenant, &id, "something to purge").await;
    }
    let path = format!("/api/v1/chats/{chat}");
    let deleted = tenant.delete(&path).await;
    assert_eq!((deleted.status, deleted.body), (StatusCode::NO_CONTENT, Value::Null));

    for (again, what) in [
        (tenant.delete(&path).await, "delete"),
        (tenant.get(&path).await, "get"),
        (tenant.get(&format!("{path}/messages")).await, "messages"),
    ] {
        assert_eq!((again.status, again.code()), (StatusCode::NOT_FOUND, "CHAT_NOT_FOUND"), "{what}");
    }
    let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
    assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(StatusCode::NOT_FOUND));
    assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
    socket.closed().await;

    until_purged(stack, &tenant, &chat).await;
}

#[tokio::test]
async fn running_generation_ends_with_its_chat_and_leaves_no_items() {
    let stack = Stack::shared();
    let tenant = stack.tenant("delete in mid-stream").await;
    // An answer of ten minutes.
    let body = json!({ "user_id": "u", "config": { "model": "echo@2" } });
    let chat = tenant.chat_with(&body).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.send(&json!({ "content": "word ".repeat(1200) })).await;
    socket.next_of("message_stream_token").await;
    assert_eq!(tenant.delete(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NO_CONTENT);

    let error = socket.next_of("error").await;
    assert_eq!(error["error"]["code"], "CHAT_NOT_FOUND", "{error}");
    socket.closed().await;
    until_purged(stack, &tenant, &chat).await;
}

/// `delete-chat` may not reach the sockets, so the owner of the generation checks the chat itself.
#[tokio::test]
async fn generation_ends_when_its_chat_is_deleted_without_notice() {
    let stack = Stack::shared();
    let tenant = stack.tenant("without notice").await;
    // An answer of ten minutes.
    let body = json!({ "user_id": "u", "config": { "model": "echo@2" } });
    let chat = tenant.chat_with(&body).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.send(&json!({ "content": "word ".repeat(1200) })).await;
    socket.next_of("message_stream_token").await;

    let id = ChatId::parse(&chat).expect("an id");
    let now = Timestamp::now();
    assert!(stack.chats().delete(&tenant.id, &id, now).await.expect("DynamoDB responds"));
    stack.chats().purge(&tenant.id, &id).await.expect("DynamoDB responds");
    // At its end the generation would notice in any case.
    for tokens in 0.. {
        let event = socket.next().await;
        if event["type"] == "error" {
            assert_eq!(event["error"]["code"], "CHAT_NOT_FOUND");
            break;
        }
        assert!(tokens < 60, "the generation still runs half a minute later");
    }
    assert_eq!(socket.next_of("message_stream_ended").await["finish_reason"], "error");
    assert_eq!(items_left(stack, &tenant, &chat).await, 0, "the generation stores nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_simultaneous_transactions_deletes_the_chat() {
    let stack = Stack::shared();
    let tenant = stack.tenant("delete race").await;
    let (kept, doomed) = (tenant.chat("u").await, ChatId::parse(&tenant.chat("u").await).expect("an id"));
    let deletes = (0..50).map(|_| {
        let (chats, tenant, doomed) = (stack.chats(), tenant.id.clone(), doomed.clone());
        tokio::spawn(async move { chats.delete(&tenant, &doomed, Timestamp::now()).await.expect("DynamoDB responds") })
    });
    let deleted = join_all(deletes).await;
    assert_eq!(deleted.iter().filter(|deleted| *deleted.as_ref().expect("it ends")).count(), 1);
    let page = tenant.get("/api/v1/chats/user/u").await.body;
    assert_eq!((&page["total"], &page["chats"][0]["chat_id"]), (&1.into(), &kept.into()));
}

mod black_box {
    use reqwest::StatusCode;
    use tests::Api;

    #[tokio::test]
    async fn chat_of_another_tenant_cannot_be_deleted() {
        let (owner, other) = (Api::shared().tenant("owner").await, Api::shared().tenant("other").await);
        let chat = owner.chat("u").await;
        let path = format!("/api/v1/chats/{chat}");
        assert_eq!(other.delete(&path).await.code(), "CHAT_NOT_FOUND");
        assert_eq!(owner.get(&path).await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn one_of_simultaneous_deletes_succeeds() {
        let tenant = Api::shared().tenant("two deletes").await;
        let chat = tenant.chat("u").await;
        let path = format!("/api/v1/chats/{chat}");
        let (one, two) = tokio::join!(tenant.delete(&path), tenant.delete(&path));
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404]);
        assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 0);
    }

    #[tokio::test]
    async fn sockets_of_a_deleted_chat_get_an_error_and_are_closed() {
        let tenant = Api::shared().tenant("delete with a socket").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        socket.say("Hello").await;
        let path = format!("/api/v1/chats/{chat}");
        assert_eq!(tenant.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(socket.next_of("error").await["error"]["code"], "CHAT_NOT_FOUND");
        socket.closed().await;
        let query = format!("api_key={}&user_id=u&chat_id={chat}", tenant.key);
        assert_eq!(tenant.connect_with(&query, &[]).await.err(), Some(Api::shared().refusal(StatusCode::NOT_FOUND)));
        assert_eq!(tenant.get(&format!("{path}/messages")).await.code(), "CHAT_NOT_FOUND");
    }
}
