//! Requests and messages that run once, however often they are sent.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use shared::{
    domain::{
        chat::NewChat,
        id::{ChatId, IdempotencyKey},
        input::Fields,
        time::Timestamp,
    },
    storage::{CreateResult, IdempotencyRequest},
};
use tests::Stack;

/// Through the API a function's one process serializes what comes at once; here nothing does.
#[tokio::test(flavor = "multi_thread")]
async fn of_creates_that_reach_the_table_at_once_one_makes_the_chat() {
    let stack = Stack::shared();
    let tenant = stack.tenant("store race").await;
    let (chats, now) = (stack.chats(), Timestamp::now());
    let create = |body: &'static str| {
        let (chats, tenant) = (chats.clone(), tenant.id.clone());
        tokio::spawn(async move {
            let new = NewChat::read(Fields::from_json(body.as_bytes()).expect("JSON")).expect("a chat");
            let once = IdempotencyRequest::new(IdempotencyKey::parse("k").expect("a key"), body.as_bytes());
            chats.create(&tenant, new, Some(&once), now).await.expect("the table answers")
        })
    };
    let same = r#"{"user_id":"u"}"#;
    let created = join_all((0..50).map(|_| create(same))).await;
    let mut made = 0;
    let mut ids = BTreeSet::new();
    for created in created {
        ids.insert(match created.expect("it ends") {
            CreateResult::Created(chat) => {
                made += 1;
                chat.chat_id
            }
            CreateResult::Replayed { chat_id, .. } => chat_id,
            CreateResult::Mismatch => panic!("the bodies are the same"),
        });
    }
    assert_eq!((made, ids.len()), (1, 1));
    let others = join_all((0..10).map(|_| create(r#"{"user_id":"u","title":"other"}"#))).await;
    assert!(others.into_iter().all(|other| matches!(other, Ok(CreateResult::Mismatch))));
    let page = tenant.get("/api/v1/chats/user/u").await.body;
    assert_eq!((&page["total"], page["chats"].as_array().map(Vec::len)), (&1.into(), Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_deletes_that_reach_the_table_at_once_one_deletes() {
    let stack = Stack::shared();
    let tenant = stack.tenant("delete race").await;
    let (kept, doomed) = (tenant.chat("u").await, ChatId::parse(&tenant.chat("u").await).expect("an id"));
    let deletes = (0..50).map(|_| {
        let (chats, tenant, doomed) = (stack.chats(), tenant.id.clone(), doomed.clone());
        tokio::spawn(async move { chats.delete(&tenant, &doomed, Timestamp::now()).await.expect("the table answers") })
    });
    let deleted = join_all(deletes).await;
    assert_eq!(deleted.iter().filter(|deleted| *deleted.as_ref().expect("it ends")).count(), 1);
    let page = tenant.get("/api/v1/chats/user/u").await.body;
    assert_eq!((&page["total"], &page["chats"][0]["chat_id"]), (&1.into(), &kept.into()));
}

#[tokio::test]
async fn the_same_message_at_once_is_stored_once() {
    let stack = Stack::shared();
    let tenant = stack.tenant("client id race").await;
    let chat = shared::domain::id::ChatId::parse(&tenant.chat("u").await).expect("an id");
    let messages = stack.messages();
    let id = shared::domain::id::ClientMessageId::parse("c1").expect("an id");
    let now = shared::domain::time::Timestamp::now();
    let new = shared::storage::NewMessage { content: "x", client_id: Some(&id), model: "echo" };
    let appended = join_all(
        (0..5).map(|_| messages.append(&tenant.id, &chat, shared::storage::ChatPosition::default(), new, now)),
    )
    .await;
    let stored = appended.into_iter().filter(|appended| {
        matches!(appended.as_ref().expect("the table answers"), shared::storage::AppendResult::Stored(_))
    });
    assert_eq!(stored.count(), 1);
}
