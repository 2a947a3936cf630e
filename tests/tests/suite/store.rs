//! The tables themselves: what happens when two do the same thing at once.

use futures_util::future::join_all;
use shared::{
    api_key::ApiKey,
    id::ChatId,
    limits::{Limits, Meter},
    message::{FinishReason, Status, Usage},
    page::{Order, PageRequest},
    store::{Admission, Appended, Lease, Outcome, Seen},
    time::Timestamp,
};
use tests::Stack;

#[tokio::test]
async fn messages_written_at_once_get_consecutive_numbers() {
    let stack = Stack::shared();
    let tenant = stack.tenant("race").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let chats = stack.chats();
    // All four believe that the chat is empty; three are wrong, and find out.
    let appended =
        join_all((0..4).map(|_| chats.append(&tenant.id, &chat, Seen::default(), "x", None, Timestamp::now()))).await;
    let mut seqs: Vec<u32> = appended
        .into_iter()
        .map(|appended| match appended.expect("the table answers") {
            Appended::Stored(exchange) => exchange.message.seq,
            other => panic!("not stored: {other:?}"),
        })
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [0, 2, 4, 6]);

    let page = PageRequest { offset: 0, limit: 200, order: Order::Asc };
    let (messages, total) =
        chats.messages(&tenant.id, &chat, page).await.expect("the table answers").expect("the chat is there");
    assert_eq!(total, 8);
    assert!((0..8).eq(messages.iter().map(|message| message.seq)));
}

#[tokio::test]
async fn an_answer_ends_once() {
    let stack = Stack::shared();
    let tenant = stack.tenant("ends once").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let chats = stack.chats();
    let now = Timestamp::now();
    let appended = chats.append(&tenant.id, &chat, Seen::default(), "x", None, now).await.expect("the table answers");
    let Appended::Stored(exchange) = appended else { panic!("not stored: {appended:?}") };
    let outcome = |content: &str| Outcome {
        content: content.to_owned(),
        status: Status::Complete,
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
    };
    let (first, second) = (outcome("first"), outcome("second"));
    assert!(chats.finish(&tenant.id, &chat, &exchange.reply, &first, now).await.expect("the table answers"));
    assert!(!chats.finish(&tenant.id, &chat, &exchange.reply, &second, now).await.expect("the table answers"));
    let stored = tenant.get(&format!("/api/v1/chats/{chat}/messages")).await.body;
    assert_eq!(stored["messages"][1]["content"], "first");
}

#[tokio::test]
async fn nothing_is_written_into_a_chat_that_is_gone() {
    let stack = Stack::shared();
    let tenant = stack.tenant("gone").await;
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let chats = stack.chats();
    let now = Timestamp::now();
    assert!(chats.delete(&tenant.id, &chat, now).await.expect("the table answers"));
    let append =
        async || chats.append(&tenant.id, &chat, Seen::default(), "x", None, now).await.expect("the table answers");
    assert!(matches!(append().await, Appended::NoChat));
    chats.purge(&tenant.id, &chat).await.expect("the table answers");
    chats.purge(&tenant.id, &chat).await.expect("purging again does no harm");
    assert!(matches!(append().await, Appended::NoChat));
}

#[tokio::test]
async fn of_requests_that_reach_the_gate_at_once_as_many_pass_as_may() {
    let stack = Stack::shared();
    let tenant = stack.tenant_with("gate race", Limits::default()).await;
    let (tenants, key, now) = (stack.tenants(), ApiKey::new(&tenant.key).hash(), Timestamp::now());
    let admissions = join_all((0..200).map(|_| tenants.admit(&tenant.id, &key, Meter::Rest, now))).await;
    let passed = admissions
        .into_iter()
        .filter(|admission| matches!(admission.as_ref().expect("the table answers"), Admission::Admitted(..)));
    assert_eq!(passed.count(), 100);
    let leases = join_all((0..200).map(|_| tenants.lease(&tenant.id, &key, now))).await;
    let taken = leases.into_iter().filter(|lease| *lease.as_ref().expect("the table answers") == Lease::Taken);
    assert_eq!(taken.count(), 50);
}
