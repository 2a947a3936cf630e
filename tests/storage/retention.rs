//! Retention: `retention_days` of a tenant.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shared::{
    domain::{
        id::{ChatId, UserId},
        time::Timestamp,
    },
    maintenance::StopTime,
    storage::{AppendResult, RegenerateResult},
};
use tests::{Fault, FaultProxy, Stack, TableFixture, TenantFixture, new_message};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn set_retention(tables: &TableFixture, tenant: &TenantFixture, days: Option<u32>) {
    let set = tables.tenants().set_retention(&tenant.id, days, Timestamp::now()).await;
    assert!(set.expect("DynamoDB responds"));
}

async fn count(tables: &TableFixture, tenant: &TenantFixture, user: &str) -> u32 {
    let user = UserId::parse(user).expect("a user");
    tables.users().chat_count(&tenant.id, &user).await.expect("DynamoDB responds")
}

#[tokio::test]
async fn idle_chats_are_deleted_with_their_messages_and_the_count_matches() {
    let tables = TableFixture::new().await;
    let (tenant, other, now) = (tables.tenant().await, tables.tenant().await, Timestamp::now());
    let old = now.minus(DAY * 40);
    let empty = tables.chat(&tenant, "u", old).await;
    let idle = tables.chat(&tenant, "u", old).await;
    tables.exchange(&tenant, &idle, old.plus(DAY)).await;
    // Created before retention was set, and used since.
    let used = tables.chat(&tenant, "u", old).await;
    tables.exchange(&tenant, &used, now.minus(DAY)).await;
    let young = tables.chat(&tenant, "v", now).await;
    let others = tables.chat(&other, "u", old).await;

    assert_eq!(tables.maintain(now.plus(DAY / 24)).await.chats_expired, 0, "no retention by default");
    set_retention(&tables, &tenant, Some(30)).await;
    let report = tables.maintain(now.plus(DAY / 24)).await;
    assert_eq!(report.chats_expired, 2, "{report:?}");
    let left = tables.keys("ChatsTable").await;
    let is_left = |chat: &ChatId| left.iter().any(|key| key.contains(chat.as_str()));
    assert_eq!([&empty, &idle, &used, &young, &others].map(is_left), [false, false, true, true, true]);
    let counts =
        (count(&tables, &tenant, "u").await, count(&tables, &tenant, "v").await, count(&tables, &other, "u").await);
    assert_eq!(counts, (1, 1, 1));
    assert!(tables.queued("ChatsTable").await.is_empty());

    // The used chat follows 30 days after its last message, and no sooner.
    assert_eq!(tables.maintain(now.plus(DAY * 28)).await.chats_expired, 0);
    assert_eq!(tables.maintain(now.plus(DAY * 29)).await.chats_expired, 1);
}

#[tokio::test]
async fn removed_retention_keeps_all_chats() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    tables.chat(&tenant, "u", now.minus(DAY * 40)).await;
    set_retention(&tables, &tenant, Some(60)).await;
    assert_eq!(tables.maintain(now.plus(DAY / 24)).await.chats_expired, 0);
    set_retention(&tables, &tenant, None).await;
    assert!(tables.queued("TenantsTable").await.is_empty());
    assert_eq!(tables.maintain(now.plus(DAY * 400)).await.chats_expired, 0);
}

/// The message is stored between the read of the chat and its deletion.
#[tokio::test]
async fn message_during_a_run_is_stored_and_keeps_its_chat() {
    let tables = Arc::new(TableFixture::new().await);
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now.minus(DAY * 40)).await;
    set_retention(&tables, &tenant, Some(30)).await;
    let sent = Arc::new(AtomicBool::new(false));
    let proxy = FaultProxy::start_with_hook(Stack::shared().dynamodb_endpoint(), {
        let (tables, tenant, chat, sent) = (tables.clone(), tenant.clone(), chat.clone(), sent.clone());
        move |operation| {
            let (tables, tenant, chat, sent) = (tables.clone(), tenant.clone(), chat.clone(), sent.clone());
            async move {
                if operation == "TransactWriteItems" && !sent.swap(true, Ordering::SeqCst) {
                    // With its complete answer.
                    tables.exchange(&tenant, &chat, Timestamp::now()).await;
                }
                None
            }
        }
    })
    .await;
    let until = StopTime::within(Duration::from_secs(600));
    let (report, result) = tables.maintenance(Some(&proxy.url)).run(now.plus(DAY / 24), until, "test").await;
    result.expect("DynamoDB responds");
    assert!(sent.load(Ordering::SeqCst));
    assert_eq!((report.chats_expired, report.failures), (0, 0));
    let stored = tables.chats().get(&tenant.id, &chat).await.expect("DynamoDB responds").expect("the chat exists");
    assert_eq!((stored.message_count, count(&tables, &tenant, "u").await), (2, 1));
}

#[tokio::test]
async fn message_after_the_deletion_finds_no_chat() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now.minus(DAY * 40)).await;
    set_retention(&tables, &tenant, Some(30)).await;
    assert_eq!(tables.maintain(now.plus(DAY / 24)).await.chats_expired, 1);
    assert!(matches!(tables.try_append(&tenant, &chat, now).await, AppendResult::NoChat));
}

/// Simultaneous deletions of one user's chats conflict on the counter item.
#[tokio::test]
async fn conflicting_deletion_is_done_by_the_next_run() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    for _ in 0..3 {
        tables.chat(&tenant, "u", now.minus(DAY * 40)).await;
    }
    set_retention(&tables, &tenant, Some(30)).await;
    let proxy = FaultProxy::start(Stack::shared().dynamodb_endpoint()).await;
    // Enough for the first attempts of all, and for all attempts of one.
    proxy.inject("TransactWriteItems", 13, Fault::TransactionConflict);
    let later = now.plus(DAY / 24);
    let run = || async { tables.maintenance(Some(&proxy.url)).run(later, StopTime::within(DAY), "test").await.0 };
    let report = run().await;
    assert!(report.chats_expired < 3 && report.failures == 0 && report.incomplete, "{report:?}");
    assert_eq!(run().await.chats_expired, 3 - report.chats_expired);
    assert_eq!(count(&tables, &tenant, "u").await, 0);
    assert_eq!(tables.maintain(later).await.entries_processed, 0, "nothing is left");
}

#[tokio::test]
async fn chat_with_a_running_regeneration_is_kept() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let old = now.minus(DAY * 40);
    let chat = tables.chat(&tenant, "u", old).await;
    tables.exchange(&tenant, &chat, old).await;
    set_retention(&tables, &tenant, Some(30)).await;
    let conversation = tables.messages().conversation(&tenant.id, &chat, 10, now, |_, _| 0).await;
    let answer = conversation.expect("DynamoDB responds").expect("a chat").recent.pop().expect("an answer");
    // The chat and the retention of its tenant are due, and the lease of the generation lasts.
    let started = Timestamp::now();
    let begun = tables.generations().regenerate(&tenant.id, &chat, &answer, new_message("").generation, started).await;
    let begun = begun.expect("DynamoDB responds");
    assert!(matches!(begun, RegenerateResult::Started(_)));
    let report = tables.maintain(started).await;
    assert_eq!((report.entries_processed, report.chats_expired), (2, 0), "{report:?}");
}
