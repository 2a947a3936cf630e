//! `GET /api/v1/chats/user/{user_id}`.

use reqwest::StatusCode;
use serde_json::Value;
use tests::{Api, Tenant};

pub(crate) async fn listed<Id: Clone>(tenant: &Tenant<Id>, user: &str, query: &str) -> Value {
    let answer = tenant.get(&format!("/api/v1/chats/user/{user}{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

pub(crate) fn ids(page: &Value) -> Vec<&str> {
    page["chats"].as_array().expect("chats").iter().filter_map(|chat| chat["chat_id"].as_str()).collect()
}

#[tokio::test]
async fn lists_the_most_recently_active_first() {
    let tenant = Api::shared().tenant("activity").await;
    let (first, second, third) = (tenant.chat("u").await, tenant.chat("u").await, tenant.chat("u").await);
    tenant.chat("other").await;
    assert_eq!(ids(&listed(&tenant, "u", "").await), [&third, &second, &first]);

    tenant.connect(&first, "u").await.say("I am back").await;
    let page = listed(&tenant, "u", "").await;
    assert_eq!(ids(&page), [&first, &third, &second]);
    assert_eq!(page["chats"][0]["message_count"], 2);
    assert_eq!(ids(&listed(&tenant, "u", "?order=asc").await), [&second, &third, &first]);
}

#[tokio::test]
async fn pages_say_how_many_there_are() {
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
    let nobody = listed(&tenant, "nobody", "").await;
    assert_eq!((ids(&nobody).len(), &nobody["total"]), (0, &0.into()));
}

#[tokio::test]
async fn deleted_chats_are_neither_listed_nor_counted() {
    let tenant = Api::shared().tenant("deleted").await;
    let (kept, deleted) = (tenant.chat("u").await, tenant.chat("u").await);
    tenant.delete(&format!("/api/v1/chats/{deleted}")).await;
    let page = listed(&tenant, "u", "").await;
    assert_eq!((ids(&page), &page["total"]), (vec![kept.as_str()], &1.into()));
}

#[tokio::test]
async fn tenants_share_no_users() {
    let (one, two) = (Api::shared().tenant("one").await, Api::shared().tenant("two").await);
    one.chat("u").await;
    assert_eq!(listed(&two, "u", "").await["total"], 0);
}

#[tokio::test]
async fn bad_parameters_are_refused() {
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
        let answer = tenant.get(path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code), "{path}");
    }
    let escaped = tenant.get("/api/v1/chats/user/a%40b").await;
    assert_eq!(escaped.status, StatusCode::OK, "an escaped @ is an @");
}
