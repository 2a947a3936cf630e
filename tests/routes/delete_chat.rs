//! `DELETE /api/v1/chats/{chat_id}`.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::StatusCode;
use serde_json::Value;
use tests::{Stack, Tenant, eventually};

/// How many items of a chat are left in the table.
async fn items_left(stack: &Stack, tenant: &Tenant, chat: &str) -> i32 {
    let query = stack.dynamodb().query().table_name("ChatsTable").key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(format!("{}#{chat}", tenant.id)));
    query.send().await.expect("the table answers").count()
}

async fn until_purged(stack: &Stack, tenant: &Tenant, chat: &str) {
    eventually("the chat is purged", async || items_left(stack, tenant, chat).await == 0).await;
}

#[tokio::test]
async fn a_deleted_chat_is_gone_at_once_and_for_good() {
    let stack = Stack::shared();
    let tenant = stack.tenant("delete").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let id = shared::domain::id::ChatId::parse(&chat).expect("an id");
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
async fn a_running_answer_ends_with_its_chat_and_does_not_come_back() {
    let stack = Stack::shared();
    let tenant = stack.tenant("delete in mid-stream").await;
    // Ten minutes of answer.
    let body = serde_json::json!({ "user_id": "u", "config": { "model": "echo@2" } });
    let chat = tenant.chat_with(&body).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.send(&serde_json::json!({ "content": "word ".repeat(1200) })).await;
    socket.next_of("message_stream_token").await;
    assert_eq!(tenant.delete(&format!("/api/v1/chats/{chat}")).await.status, StatusCode::NO_CONTENT);

    let error = socket.next_of("error").await;
    assert_eq!(error["error"]["code"], "CHAT_NOT_FOUND", "{error}");
    socket.closed().await;
    until_purged(stack, &tenant, &chat).await;
}

/// Its sockets may not be reached by whoever deletes the chat, and nobody may be listening: the stream itself looks.
#[tokio::test]
async fn a_stream_that_nobody_tells_finds_out_that_its_chat_is_gone() {
    let stack = Stack::shared();
    let tenant = stack.tenant("untold").await;
    // Ten minutes of answer.
    let body = serde_json::json!({ "user_id": "u", "config": { "model": "echo@2" } });
    let chat = tenant.chat_with(&body).await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.send(&serde_json::json!({ "content": "word ".repeat(1200) })).await;
    socket.next_of("message_stream_token").await;

    let id = shared::domain::id::ChatId::parse(&chat).expect("an id");
    let now = shared::domain::time::Timestamp::now();
    assert!(stack.chats().delete(&tenant.id, &id, now).await.expect("the table answers"));
    stack.chats().purge(&tenant.id, &id).await.expect("the table answers");
    // At the end of the answer it would find out in any case.
    for tokens in 0.. {
        let event = socket.next().await;
        if event["type"] == "error" {
            assert_eq!(event["error"]["code"], "CHAT_NOT_FOUND");
            break;
        }
        assert!(tokens < 60, "half a minute later the stream still goes on");
    }
    assert_eq!(socket.next_of("message_stream_ended").await["finish_reason"], "error");
    assert_eq!(items_left(stack, &tenant, &chat).await, 0, "what it had to say is not stored any more");
}

mod black_box {
    use reqwest::StatusCode;
    use tests::Api;

    #[tokio::test]
    async fn another_tenants_chat_cannot_be_deleted() {
        let (owner, stranger) = (Api::shared().tenant("owner").await, Api::shared().tenant("stranger").await);
        let chat = owner.chat("u").await;
        let path = format!("/api/v1/chats/{chat}");
        assert_eq!(stranger.delete(&path).await.code(), "CHAT_NOT_FOUND");
        assert_eq!(owner.get(&path).await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn of_two_deletes_at_once_one_wins() {
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
    async fn the_sockets_of_a_deleted_chat_hear_of_it_and_are_closed() {
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
