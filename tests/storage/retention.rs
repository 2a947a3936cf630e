//! How long chats are kept: `retention_days` of a tenant.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shared::{
    domain::{id::UserId, time::Timestamp},
    maintenance::StopTime,
    storage::{AppendResult, RegenerateResult},
};
use tests::{Fault, Household, Proxy, Resident, Stack};

use crate::resilience::between::{Between, Fate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn keep_for(house: &Household, tenant: &Resident, days: Option<u32>) {
    let set = house.tenants().set_retention(&tenant.id, days, Timestamp::now()).await;
    assert!(set.expect("the table answers"));
}

async fn count(house: &Household, tenant: &Resident, user: &str) -> u32 {
    let user = UserId::parse(user).expect("a user");
    house.chats().chat_count(&tenant.id, &user).await.expect("the table answers")
}

#[tokio::test]
async fn chats_that_were_long_idle_are_deleted_whole_and_the_count_is_right() {
    let house = Household::new().await;
    let (tenant, other, now) = (house.tenant().await, house.tenant().await, Timestamp::now());
    let old = now.minus(DAY * 40);
    let empty = house.chat(&tenant, "u", old).await;
    let idle = house.chat(&tenant, "u", old).await;
    house.exchange(&tenant, &idle, old.plus(DAY)).await;
    // Made long ago, before anyone thought of retention, and used since.
    let used = house.chat(&tenant, "u", old).await;
    house.exchange(&tenant, &used, now.minus(DAY)).await;
    let young = house.chat(&tenant, "v", now).await;
    let others = house.chat(&other, "u", old).await;

    assert_eq!(house.keep_house(now.plus(DAY / 24)).await.chats_expired, 0, "kept for ever unless the tenant says so");
    keep_for(&house, &tenant, Some(30)).await;
    let done = house.keep_house(now.plus(DAY / 24)).await;
    assert_eq!(done.chats_expired, 2, "{done:?}");
    let left = house.keys("ChatsTable").await;
    let is_left = |chat: &shared::domain::id::ChatId| left.iter().any(|key| key.contains(chat.as_str()));
    assert_eq!([&empty, &idle, &used, &young, &others].map(is_left), [false, false, true, true, true]);
    let counts =
        (count(&house, &tenant, "u").await, count(&house, &tenant, "v").await, count(&house, &other, "u").await);
    assert_eq!(counts, (1, 1, 1));
    assert!(house.agenda("ChatsTable").await.is_empty());

    // 30 days after its last message it is the other's turn; and no sooner.
    assert_eq!(house.keep_house(now.plus(DAY * 28)).await.chats_expired, 0);
    assert_eq!(house.keep_house(now.plus(DAY * 29)).await.chats_expired, 1);
}

#[tokio::test]
async fn whoever_wants_to_keep_chats_for_ever_again_does() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    house.chat(&tenant, "u", now.minus(DAY * 40)).await;
    keep_for(&house, &tenant, Some(60)).await;
    assert_eq!(house.keep_house(now.plus(DAY / 24)).await.chats_expired, 0);
    keep_for(&house, &tenant, None).await;
    assert!(house.agenda("TenantsTable").await.is_empty());
    assert_eq!(house.keep_house(now.plus(DAY * 400)).await.chats_expired, 0);
}

/// The message comes between the look at the chat and its deletion.
#[tokio::test]
async fn a_message_that_comes_meanwhile_is_stored_and_keeps_its_chat() {
    let house = Arc::new(Household::new().await);
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now.minus(DAY * 40)).await;
    keep_for(&house, &tenant, Some(30)).await;
    let said = Arc::new(AtomicBool::new(false));
    let proxy = Between::start(Stack::shared().dynamodb_endpoint(), {
        let (house, tenant, chat, said) = (house.clone(), tenant.clone(), chat.clone(), said.clone());
        move |operation| {
            let (house, tenant, chat, said) = (house.clone(), tenant.clone(), chat.clone(), said.clone());
            async move {
                if operation == "TransactWriteItems" && !said.swap(true, Ordering::SeqCst) {
                    // Even one whose answer has ended by then.
                    house.exchange(&tenant, &chat, Timestamp::now()).await;
                }
                Fate::Arrives
            }
        }
    })
    .await;
    let until = StopTime::within(Duration::from_secs(600));
    let (done, result) = house.keeper(Some(&proxy.url)).run(now.plus(DAY / 24), until, "test").await;
    result.expect("the tables answer");
    assert!(said.load(Ordering::SeqCst));
    assert_eq!((done.chats_expired, done.failures), (0, 0));
    let stored = house.chats().get(&tenant.id, &chat).await.expect("the table answers").expect("it stays");
    assert_eq!((stored.message_count, count(&house, &tenant, "u").await), (2, 1));
}

#[tokio::test]
async fn a_message_that_comes_too_late_finds_no_chat() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let chat = house.chat(&tenant, "u", now.minus(DAY * 40)).await;
    keep_for(&house, &tenant, Some(30)).await;
    assert_eq!(house.keep_house(now.plus(DAY / 24)).await.chats_expired, 1);
    assert!(matches!(house.try_to_say(&tenant, &chat, now).await, AppendResult::NoChat));
}

/// DynamoDB says so when chats of one user are deleted at the same time: they are counted in one item.
#[tokio::test]
async fn a_deletion_that_others_are_in_the_way_of_is_made_by_the_next_run() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    for _ in 0..3 {
        house.chat(&tenant, "u", now.minus(DAY * 40)).await;
    }
    keep_for(&house, &tenant, Some(30)).await;
    let proxy = Proxy::without_delay(Stack::shared().dynamodb_endpoint()).await;
    // All that are made at first, and one of them until it gives up.
    proxy.inject("TransactWriteItems", 13, Fault::TransactionConflict);
    let later = now.plus(DAY / 24);
    let run = || async { house.keeper(Some(&proxy.url)).run(later, StopTime::within(DAY), "test").await.0 };
    let done = run().await;
    assert!(done.chats_expired < 3 && done.failures == 0 && done.cut_short, "{done:?}");
    assert_eq!(run().await.chats_expired, 3 - done.chats_expired);
    assert_eq!(count(&house, &tenant, "u").await, 0);
    assert_eq!(house.keep_house(later).await.looked_at, 0, "all is done");
}

#[tokio::test]
async fn a_chat_whose_answer_is_made_anew_right_now_stays() {
    let house = Household::new().await;
    let (tenant, now) = (house.tenant().await, Timestamp::now());
    let old = now.minus(DAY * 40);
    let chat = house.chat(&tenant, "u", old).await;
    house.exchange(&tenant, &chat, old).await;
    keep_for(&house, &tenant, Some(30)).await;
    let conversation = house.chats().conversation(&tenant.id, &chat, 10, now).await.expect("the table answers");
    let answer = conversation.expect("a chat").recent.pop().expect("an answer");
    let begun = house.chats().regenerate(&tenant.id, &chat, &answer, "test", now).await.expect("the table answers");
    assert!(matches!(begun, RegenerateResult::Draft(_)));
    assert_eq!(house.keep_house(now.plus(DAY / 2400)).await.chats_expired, 0);
}
