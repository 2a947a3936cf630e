//! `GET /api/v1/chats/{chat_id}/messages`.

use reqwest::StatusCode;
use serde_json::Value;
use tests::{Stack, Tenant};

async fn listed<Id: Clone>(tenant: &Tenant<Id>, chat: &str, query: &str) -> Value {
    let response = tenant.get(&format!("/api/v1/chats/{chat}/messages{query}")).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.body);
    response.body
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().expect("messages").iter().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test]
async fn page_ends_before_the_response_limit_and_has_more() {
    let stack = Stack::shared();
    let tenant = stack.tenant("large pages").await;
    let chat_name = tenant.chat("u").await;
    let chat = shared::domain::id::ChatId::parse(&chat_name).expect("an id");
    // A quote is escaped twice on its way through API Gateway.
    let long = "\"".repeat(100_000);
    for _ in 0..20 {
        stack.exchange(&tenant, &chat, &long).await;
    }
    let mut offset = 0;
    loop {
        let page = listed(&tenant, &chat_name, &format!("?offset={offset}&limit=200")).await;
        assert!(serde_json::to_string(&page.to_string()).expect("text").len() < 6 * 1024 * 1024);
        let seqs = seqs(&page);
        assert_eq!(seqs.first(), Some(&offset), "no message is missing");
        offset += seqs.len() as u64;
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(offset, 40);
}

mod black_box {
    use reqwest::StatusCode;
    use serde_json::json;
    use tests::Api;

    use super::{listed, seqs};

    #[tokio::test]
    async fn new_chat_has_no_messages() {
        let tenant = Api::shared().tenant("no messages").await;
        let chat = tenant.chat("u").await;
        let expected = json!({ "messages": [], "total": 0, "offset": 0, "limit": 50, "has_more": false });
        assert_eq!(listed(&tenant, &chat, "").await, expected);
        assert_eq!(listed(&tenant, &chat, "?order=desc").await, expected);
    }

    #[tokio::test]
    async fn offset_selects_messages_by_position() {
        let tenant = Api::shared().tenant("offsets").await;
        let chat = tenant.chat("u").await;
        let mut socket = tenant.connect(&chat, "u").await;
        for content in ["one", "two", "three"] {
            socket.say(content).await;
        }
        for (query, expected, has_more) in [
            ("", vec![0, 1, 2, 3, 4, 5], false),
            ("?offset=2&limit=3", vec![2, 3, 4], true),
            ("?offset=3&limit=3", vec![3, 4, 5], false),
            ("?offset=6", vec![], false),
            ("?offset=4294967295", vec![], false),
            ("?order=desc", vec![5, 4, 3, 2, 1, 0], false),
            ("?order=desc&offset=1&limit=2", vec![4, 3], true),
            ("?order=desc&offset=4&limit=2", vec![1, 0], false),
            ("?order=desc&offset=6", vec![], false),
            ("?order=desc&offset=4294967295", vec![], false),
        ] {
            let page = listed(&tenant, &chat, query).await;
            assert_eq!(seqs(&page), expected, "{query}");
            assert_eq!((&page["total"], &page["has_more"]), (&6.into(), &has_more.into()), "{query}");
        }
    }

    #[tokio::test]
    async fn message_has_all_its_fields() {
        let tenant = Api::shared().tenant("fields").await;
        let chat = tenant.chat("u").await;
        let events = tenant.connect(&chat, "u").await.say("Hello there").await;
        let (received, ended) = (&events[0], events.last().expect("an end"));
        let page = listed(&tenant, &chat, "").await;
        let (question, answer) = (&page["messages"][0], &page["messages"][1]);
        assert_eq!(
            *question,
            json!({
                "message_id": received["message_id"], "chat_id": chat, "role": "user", "content": "Hello there",
                "status": "complete", "seq": 0, "created_at": question["created_at"],
            })
        );
        assert_eq!(
            *answer,
            json!({
                "message_id": ended["message_id"], "chat_id": chat, "role": "assistant",
                "content": "You said: Hello there", "status": "complete", "seq": 1, "created_at": answer["created_at"],
                "completed_at": answer["completed_at"], "in_reply_to": received["message_id"], "finish_reason": "stop",
                "usage": ended["usage"],
            })
        );
        assert!(answer["completed_at"].is_string());
    }

    #[tokio::test]
    async fn invalid_parameter_is_refused() {
        let tenant = Api::shared().tenant("bad parameters").await;
        let chat = tenant.chat("u").await;
        for (query, code) in [
            ("?limit=0", "INVALID_PARAMETER"),
            ("?limit=201", "INVALID_PARAMETER"),
            ("?limit=ten", "INVALID_PARAMETER"),
            ("?offset=-1", "INVALID_PARAMETER"),
            ("?order=newest", "INVALID_PARAMETER"),
            ("?cursor=x", "UNKNOWN_FIELD"),
        ] {
            let response = tenant.get(&format!("/api/v1/chats/{chat}/messages{query}")).await;
            assert_eq!((response.status, response.code()), (StatusCode::BAD_REQUEST, code), "{query}");
        }
    }
}
