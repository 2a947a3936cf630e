//! `GET /api/v1/chats/user/{user_id}`.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::{
    domain::{chat::NewChat, input::Fields, time::Timestamp},
    storage::CreateResult,
};
use tests::Stack;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::outside::list_user_chats::{ids, listed};

/// As many chats as a page may have can be more than a function can answer.
#[tokio::test]
async fn a_page_ends_where_an_answer_does() {
    const CHATS: usize = 90;
    let stack = Stack::shared();
    let (tenant, chats) = (stack.tenant("large chats").await, stack.chats());
    // A quote is one byte to us and four in a function's answer.
    let body = json!({ "user_id": "u", "config": { "system_prompt": "\"".repeat(16 * 1024) } }).to_string();
    let large = NewChat::read(Fields::from_json(body.as_bytes()).expect("JSON")).expect("a chat");
    let created = join_all((0..CHATS).map(|_| chats.create(&tenant.id, large.clone(), None, Timestamp::now()))).await;
    assert!(created.iter().all(|created| matches!(created, Ok(CreateResult::Created(_)))));

    let first = listed(&tenant, "u", "?limit=200").await;
    let shown = ids(&first).len();
    assert!((70..CHATS).contains(&shown), "{shown}");
    assert_eq!((&first["total"], &first["has_more"]), (&CHATS.into(), &true.into()));
    let rest = listed(&tenant, "u", &format!("?limit=200&offset={shown}")).await;
    assert_eq!((ids(&rest).len(), &rest["has_more"]), (CHATS - shown, &false.into()));
    let all: BTreeSet<&str> = ids(&first).into_iter().chain(ids(&rest)).collect();
    assert_eq!(all.len(), CHATS);
}

/// The index follows a moment later, while `total` counts at once. Here it does not follow at all.
#[tokio::test]
async fn a_chat_that_is_counted_but_not_listed_yet_is_not_promised() {
    let stack = Stack::shared();
    let tenant = stack.tenant("lag").await;
    let (listed_chat, late) = (tenant.chat("u").await, tenant.chat("u").await);
    let key = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
    let key = HashMap::from([key("pk", format!("{}#{late}", tenant.id)), key("sk", "~state".to_owned())]);
    let update = stack.dynamodb().update_item().table_name("ChatsTable").set_key(Some(key));
    let update = update.update_expression("REMOVE active_at");
    update.send().await.expect("the table answers");

    let page = listed(&tenant, "u", "").await;
    assert_eq!((ids(&page), &page["total"]), (vec![listed_chat.as_str()], &2.into()));
    assert_eq!(page["has_more"], false, "who goes on as long as there is more comes to an end");
    let next = listed(&tenant, "u", "?offset=1").await;
    assert_eq!((ids(&next).len(), &next["has_more"]), (0, &false.into()));
}

/// `.` and `..` may name users, but mean something else in a path, escaped or not, to most clients: RFC 3986 takes such
/// segments out before they are sent. A client that leaves paths alone gets there.
#[tokio::test]
async fn users_named_like_path_segments_are_there_for_clients_that_leave_paths_alone() {
    let stack = Stack::shared();
    let tenant = stack.tenant("dots").await;
    for user in [".", ".."] {
        tenant.chat(user).await;
        let address = stack.rest_url().strip_prefix("http://").expect("plain HTTP");
        let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
        let path = format!("/api/v1/chats/user/{}", user.replace('.', "%2E"));
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n", tenant.key);
        stream.write_all(request.as_bytes()).await.expect("the gateway reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the gateway answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        let page: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&page["total"], &page["chats"][0]["user_id"]), (&1.into(), &user.into()));
    }
}
