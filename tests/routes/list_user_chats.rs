//! `GET /api/v1/chats/user/{user_id}`.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::{
    domain::{chat::NewChat, input::Fields, time::Timestamp},
    storage::CreateResult,
};
use tests::{Stack, Tenant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn listed<Id: Clone>(tenant: &Tenant<Id>, user: &str, query: &str) -> Value {
    let response = tenant.get(&format!("/api/v1/chats/user/{user}{query}")).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    response.body
}

fn ids(page: &Value) -> Vec<&str> {
    page["chats"].as_array().expect("chats").iter().filter_map(|chat| chat["chat_id"].as_str()).collect()
}

/// 200 chats can exceed the response limit of a function.
#[tokio::test]
async fn page_ends_before_the_response_limit_and_has_more() {
    const CHATS: usize = 90;
    let stack = Stack::shared();
    let (tenant, chats) = (stack.tenant("large chats").await, stack.chats());
    // A quote is one byte here and four in a function's response.
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

/// The index is eventually consistent, `total` is not. Here the index entry never arrives.
#[tokio::test]
async fn chat_missing_in_the_index_does_not_set_has_more() {
    let stack = Stack::shared();
    let tenant = stack.tenant("index lag").await;
    let (listed_chat, late) = (tenant.chat("u").await, tenant.chat("u").await);
    let key = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
    let key = HashMap::from([key("pk", format!("{}#{late}", tenant.id)), key("sk", "~state".to_owned())]);
    let update = stack.dynamodb().update_item().table_name("ChatsTable").set_key(Some(key));
    let update = update.update_expression("REMOVE active_at");
    update.send().await.expect("DynamoDB responds");

    let page = listed(&tenant, "u", "").await;
    assert_eq!((ids(&page), &page["total"]), (vec![listed_chat.as_str()], &2.into()));
    assert_eq!(page["has_more"], false, "a client that follows has_more stops");
    let next = listed(&tenant, "u", "?offset=1").await;
    assert_eq!((ids(&next).len(), &next["has_more"]), (0, &false.into()));
}

/// Most clients remove the path segments `.` and `..`, escaped or not (RFC 3986, section 5.2.4). A client that does not
/// reaches users with these names.
#[tokio::test]
async fn users_named_like_dot_segments_can_be_listed() {
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
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("the gateway responds");
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
        let page: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&page["total"], &page["chats"][0]["user_id"]), (&1.into(), &user.into()));
    }
}

mod black_box {
    use reqwest::StatusCode;
    use tests::Api;

    use super::{ids, listed};

    #[tokio::test]
    async fn most_recently_active_chat_comes_first() {
        let tenant = Api::shared().tenant("activity").await;
        let (first, second, third) = (tenant.chat("u").await, tenant.chat("u").await, tenant.chat("u").await);
        tenant.chat("other").await;
        assert_eq!(ids(&listed(&tenant, "u", "").await), [&third, &second, &first]);

        tenant.connect(&first, "u").await.say("Hello again").await;
        let page = listed(&tenant, "u", "").await;
        assert_eq!(ids(&page), [&first, &third, &second]);
        assert_eq!(page["chats"][0]["message_count"], 2);
        assert_eq!(ids(&listed(&tenant, "u", "?order=asc").await), [&second, &third, &first]);
    }

    #[tokio::test]
    async fn page_has_total_and_has_more() {
        let tenant = Api::shared().tenant("pages").await;
        for _ in 0..5 {
            tenant.chat("u").await;
        }
        let page = listed(&tenant, "u", "?offset=1&limit=2").await;
        assert_eq!(ids(&page).len(), 2);
        assert_eq!((&page["total"], &page["offset"], &page["limit"]), (&5.into(), &1.into(), &2.into()));
        assert_eq!(page["has_more"], true);
        let all = listed(&tenant, "u", "").await;
        assert_eq!(ids(&page), ids(&all)[1..3]);

        let before_last = listed(&tenant, "u", "?offset=2&limit=2").await;
        assert_eq!((ids(&before_last).len(), &before_last["has_more"]), (2, &true.into()));
        let last = listed(&tenant, "u", "?offset=3&limit=2").await;
        assert_eq!((ids(&last).len(), &last["has_more"]), (2, &false.into()));
        let past = listed(&tenant, "u", "?offset=100").await;
        assert_eq!((ids(&past).len(), &past["total"], &past["has_more"]), (0, &5.into(), &false.into()));
        let unknown_user = listed(&tenant, "unknown", "").await;
        assert_eq!((ids(&unknown_user).len(), &unknown_user["total"]), (0, &0.into()));
    }

    #[tokio::test]
    async fn deleted_chat_is_neither_listed_nor_counted() {
        let tenant = Api::shared().tenant("deleted").await;
        let (kept, deleted) = (tenant.chat("u").await, tenant.chat("u").await);
        tenant.delete(&format!("/api/v1/chats/{deleted}")).await;
        let page = listed(&tenant, "u", "").await;
        assert_eq!((ids(&page), &page["total"]), (vec![kept.as_str()], &1.into()));
    }

    #[tokio::test]
    async fn users_of_two_tenants_are_separate() {
        let (one, two) = (Api::shared().tenant("one").await, Api::shared().tenant("two").await);
        one.chat("u").await;
        assert_eq!(listed(&two, "u", "").await["total"], 0);
    }

    #[tokio::test]
    async fn invalid_parameter_is_refused() {
        let tenant = Api::shared().tenant("bad parameters").await;
        for (path, code) in [
            ("/api/v1/chats/user/u?limit=0", "INVALID_PARAMETER"),
            ("/api/v1/chats/user/u?limit=201", "INVALID_PARAMETER"),
            ("/api/v1/chats/user/u?offset=-1", "INVALID_PARAMETER"),
            ("/api/v1/chats/user/u?order=up", "INVALID_PARAMETER"),
            ("/api/v1/chats/user/u?limit=5&limit=6", "INVALID_PARAMETER"),
            ("/api/v1/chats/user/u?page=2", "UNKNOWN_FIELD"),
            ("/api/v1/chats/user/a%20b", "INVALID_PARAMETER"),
        ] {
            let response = tenant.get(path).await;
            assert_eq!((response.status, response.code()), (StatusCode::BAD_REQUEST, code), "{path}");
        }
        let escaped = tenant.get("/api/v1/chats/user/a%40b").await;
        assert_eq!(escaped.status, StatusCode::OK, "%40 is decoded");
    }
}
