//! `GET /api/v1/chats/{chat_id}/messages`.

use tests::Stack;

use crate::outside::list_messages::{listed, seqs};

#[tokio::test]
async fn a_page_larger_than_a_function_can_answer_is_cut_and_says_so() {
    let stack = Stack::shared();
    let tenant = stack.tenant("large pages").await;
    let chat_name = tenant.chat("u").await;
    let chat = shared::domain::id::ChatId::parse(&chat_name).expect("an id");
    // Each of these is escaped twice on its way through API Gateway.
    let long = "\"".repeat(100_000);
    for _ in 0..20 {
        stack.exchange(&tenant, &chat, &long).await;
    }
    let mut offset = 0;
    loop {
        let page = listed(&tenant, &chat_name, &format!("?offset={offset}&limit=200")).await;
        assert!(serde_json::to_string(&page.to_string()).expect("text").len() < 6 * 1024 * 1024);
        let seqs = seqs(&page);
        assert_eq!(seqs.first(), Some(&offset), "no message is left out");
        offset += seqs.len() as u64;
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(offset, 40);
}
