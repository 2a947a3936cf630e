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
    let chats = stack.chats();
    let id = shared::domain::id::ClientMessageId::parse("c1").expect("an id");
    let now = shared::domain::time::Timestamp::now();
    let new = shared::storage::NewMessage { content: "x", client_id: Some(&id), model: "echo" };
    let appended =
        join_all((0..5).map(|_| chats.append(&tenant.id, &chat, shared::storage::ChatPosition::default(), new, now)))
            .await;
    let stored = appended.into_iter().filter(|appended| {
        matches!(appended.as_ref().expect("the table answers"), shared::storage::AppendResult::Stored(_))
    });
    assert_eq!(stored.count(), 1);
}

mod black_box {
    use futures_util::future::join_all;
    use reqwest::{Method, StatusCode, header};
    use serde_json::{Value, json};
    use tests::{Answer, Api, Customer};

    async fn create(tenant: &Customer, key: &str, body: &Value) -> Answer {
        tenant.send(tenant.request(Method::POST, "/api/v1/chats/").header("Idempotency-Key", key).json(body)).await
    }

    #[tokio::test]
    async fn the_same_key_and_body_get_the_same_answer() {
        let tenant = Api::shared().tenant("idempotency").await;
        let body = json!({ "user_id": "u", "title": "once" });
        let (first, second) = (create(&tenant, "k1", &body).await, create(&tenant, "k1", &body).await);
        assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!(first.body, second.body);
        assert_eq!(first.headers[header::LOCATION], second.headers[header::LOCATION]);
        let other_key = create(&tenant, "k2", &body).await;
        assert_ne!(other_key.body["chat_id"], first.body["chat_id"]);
        assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 2);
    }

    #[tokio::test]
    async fn another_body_under_the_same_key_is_refused() {
        let tenant = Api::shared().tenant("mismatch").await;
        create(&tenant, "k", &json!({ "user_id": "u" })).await;
        let other = create(&tenant, "k", &json!({ "user_id": "v" })).await;
        assert_eq!((other.status.as_u16(), other.code()), (422, "IDEMPOTENCY_MISMATCH"));
    }

    #[tokio::test]
    async fn a_race_leaves_one_chat_and_one_answer() {
        let tenant = Api::shared().tenant("race").await;
        let body = json!({ "user_id": "u" });
        let answers = join_all((0..20).map(|_| create(&tenant, "k", &body))).await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED && answer.body == answers[0].body));
        assert_eq!(tenant.get("/api/v1/chats/user/u").await.body["total"], 1);
    }

    #[tokio::test]
    async fn keys_are_the_tenants_own() {
        let (one, two) = (Api::shared().tenant("one").await, Api::shared().tenant("two").await);
        let body = json!({ "user_id": "u" });
        let (first, second) = (create(&one, "k", &body).await, create(&two, "k", &body).await);
        assert_ne!(first.body["chat_id"], second.body["chat_id"]);
        assert_eq!(create(&two, "k", &json!({ "user_id": "v" })).await.status.as_u16(), 422);
    }

    #[tokio::test]
    async fn keys_have_bounds() {
        let tenant = Api::shared().tenant("key bounds").await;
        let body = json!({ "user_id": "u" });
        assert_eq!(create(&tenant, &"k".repeat(255), &body).await.status, StatusCode::CREATED);
        for bad in ["", &"k".repeat(256)] {
            let answer = create(&tenant, bad, &body).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (400, "INVALID_PARAMETER"));
            assert_eq!(answer.body["error"]["details"]["field"], "Idempotency-Key");
        }
    }

    #[tokio::test]
    async fn a_message_sent_again_is_acknowledged_again_and_answered_once() {
        let tenant = Api::shared().tenant("client ids").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        let frame = json!({ "content": "Hello", "client_message_id": "c1" });
        socket.send(&frame).await;
        let first = socket.next_of("message_received").await;
        socket.next_of("message_stream_ended").await;

        // Again, from the same socket and from one that came later.
        let mut later = tenant.connect(&chat, "u").await;
        for again in [&mut socket, &mut later] {
            again.send(&frame).await;
            let second = again.next_of("message_received").await;
            for field in ["message_id", "seq", "content", "client_message_id"] {
                assert_eq!(second[field], first[field], "{field}");
            }
        }
        let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
        assert_eq!(stored["total"], 2, "answered once");
        assert_eq!(stored["messages"][0]["client_message_id"], "c1");
    }
}
