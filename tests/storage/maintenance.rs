//! Maintenance finishes interrupted work and changes nothing else.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use shared::{
    domain::{
        id::{ChatId, UserId},
        message::Status,
        pagination::{Order, PageRequest},
        tenant::TenantStatus,
        time::Timestamp,
    },
    maintenance::{Report, StopTime},
    storage::RegenerateResult,
};
use tests::{Fault, FaultProxy, LambdaRuntime, Stack, TableFixture, TenantFixture, eventually, new_message};
use tokio::sync::Notify;

const MINUTE: Duration = Duration::from_secs(60);
const PAGE: PageRequest = PageRequest { offset: 0, limit: 200, order: Order::Asc };

fn no_stop() -> StopTime {
    StopTime::within(Duration::from_secs(600))
}

async fn statuses(
    tables: &TableFixture,
    tenant: &TenantFixture,
    chat: &ChatId,
    now: Timestamp,
) -> Vec<(Status, String)> {
    let (messages, _) =
        tables.messages().list(&tenant.id, chat, PAGE, now).await.expect("DynamoDB responds").expect("a chat");
    messages.into_iter().map(|message| (message.status, message.content)).collect()
}

#[tokio::test]
async fn interrupted_delete_is_finished() {
    let tables = TableFixture::with_sockets(&["one"]).await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let (deleted, other) = (tables.chat(&tenant, "u", now).await, tables.chat(&tenant, "u", now).await);
    for _ in 0..20 {
        tables.exchange(&tenant, &deleted, now).await;
    }
    tables.connection(&tenant, &deleted, "one", now).await;
    assert!(tables.chats().delete(&tenant.id, &deleted, now).await.expect("DynamoDB responds"));

    assert_eq!(tables.maintain(now.plus(9 * MINUTE)).await.chats_purged, 0, "delete-chat may still be purging");
    let report = tables.maintain(now.plus(11 * MINUTE)).await;
    assert_eq!((report.chats_purged, report.chats_expired), (1, 0));
    let mut left = tables.keys("ChatsTable").await;
    left.retain(|key| !key.contains("#usage "));
    assert!(left.iter().all(|key| !key.contains(deleted.as_str())) && left.len() == 3, "{left:?}");
    assert_eq!(tables.management.posts("one")[0].event["error"]["code"], "CHAT_NOT_FOUND");
    assert!(tables.management.is_closed("one"));
    assert_eq!(statuses(&tables, &tenant, &other, now).await, []);
    assert!(tables.queued("ChatsTable").await.is_empty());
}

#[tokio::test]
async fn generation_of_a_lost_owner_is_ended_without_a_client() {
    let tables = TableFixture::with_sockets(&["two"]).await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    let exchange = tables.append(&tenant, &chat, now).await;
    let lease = tables.generations().lease(&tenant.id, &chat, &exchange.generation);
    assert!(lease.save("The saved text", now).await.expect("DynamoDB responds"));
    tables.connection(&tenant, &chat, "two", Timestamp::now()).await;

    assert_eq!(tables.maintain(now.plus(14 * MINUTE)).await.generations_taken_over, 0);
    assert_eq!(tables.maintain(now.plus(16 * MINUTE)).await.generations_taken_over, 1);
    assert!(!lease.renew(now).await.expect("DynamoDB responds"), "its lease is gone");
    let expected = [(Status::Complete, "Hello".to_owned()), (Status::Interrupted, "The saved text".to_owned())];
    assert_eq!(statuses(&tables, &tenant, &chat, now).await, expected);
    let types: Vec<_> = tables.management.posts("two").into_iter().map(|post| post.event["type"].clone()).collect();
    assert_eq!(types, ["error", "message_stream_ended"]);
    assert!(tables.queued("ChatsTable").await.is_empty());
    assert!(tables.chats().pending_work(&tenant.id, &chat).await.is_ok());
}

#[tokio::test]
async fn running_generation_is_kept_and_checked_again() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    let exchange = tables.append(&tenant, &chat, now).await;
    let lease = tables.generations().lease(&tenant.id, &chat, &exchange.generation);
    assert!(lease.renew(now.plus(16 * MINUTE)).await.expect("DynamoDB responds"));

    let report = tables.maintain(now.plus(16 * MINUTE)).await;
    assert_eq!((report.entries_processed, report.generations_taken_over), (1, 0));
    assert!(lease.renew(now.plus(16 * MINUTE)).await.expect("DynamoDB responds"), "its owner keeps the lease");
    assert_eq!(tables.maintain(now.plus(30 * MINUTE)).await.entries_processed, 0);
    assert_eq!(tables.maintain(now.plus(32 * MINUTE)).await.generations_taken_over, 1);
}

#[tokio::test]
async fn chat_is_checked_once_for_many_messages() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    assert!(tables.queued("ChatsTable").await.is_empty(), "a chat without messages has no entry");
    for minute in 0..5 {
        tables.exchange(&tenant, &chat, now.plus(minute * MINUTE)).await;
    }
    assert_eq!(tables.maintain(now.plus(16 * MINUTE)).await, Report { entries_processed: 1, ..Report::default() });
    assert_eq!(tables.maintain(now.plus(60 * MINUTE)).await, Report::default());
    tables.append(&tenant, &chat, now.plus(60 * MINUTE)).await;
    assert_eq!(tables.maintain(now.plus(80 * MINUTE)).await.generations_taken_over, 1);
}

#[tokio::test]
async fn interrupted_regeneration_is_ended() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    tables.exchange(&tenant, &chat, now).await;
    tables.maintain(now.plus(16 * MINUTE)).await;
    assert!(tables.queued("ChatsTable").await.is_empty());
    let (messages, _) =
        tables.messages().list(&tenant.id, &chat, PAGE, now).await.expect("DynamoDB responds").expect("a chat");
    let begun = tables.generations().regenerate(&tenant.id, &chat, &messages[1], new_message("").generation, now).await;
    assert!(matches!(begun.expect("DynamoDB responds"), RegenerateResult::Started(_)));
    assert_eq!(tables.maintain(now.plus(16 * MINUTE)).await.generations_taken_over, 1);
    let expected = [(Status::Complete, "Hello".to_owned()), (Status::Complete, "Hello to you".to_owned())];
    assert_eq!(statuses(&tables, &tenant, &chat, now).await, expected, "the old answer stays");
}

/// The message is stored between the read of the chat and the removal of its queue entry.
#[tokio::test]
async fn message_during_a_run_keeps_its_chat_in_the_queue() {
    let tables = Arc::new(TableFixture::new().await);
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    tables.exchange(&tenant, &chat, now).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let proxy = FaultProxy::start_with_hook(Stack::shared().dynamodb_endpoint(), {
        let (tables, tenant, chat, sent) = (tables.clone(), tenant.clone(), chat.clone(), sent.clone());
        move |operation| {
            let (tables, tenant, chat, sent) = (tables.clone(), tenant.clone(), chat.clone(), sent.clone());
            async move {
                if operation == "UpdateItem" && sent.fetch_add(1, Ordering::SeqCst) == 0 {
                    tables.append(&tenant, &chat, now.plus(16 * MINUTE)).await;
                }
                None
            }
        }
    })
    .await;
    let (_, result) = tables.maintenance(Some(&proxy.url)).run(now.plus(16 * MINUTE), no_stop(), "test").await;
    result.expect("DynamoDB responds");
    assert!(sent.load(Ordering::SeqCst) > 0);
    assert_eq!(tables.queued("ChatsTable").await.len(), 1);
    assert_eq!(tables.maintain(now.plus(40 * MINUTE)).await.generations_taken_over, 1);
}

#[tokio::test]
async fn idle_sockets_of_a_suspended_tenant_are_closed_and_no_others() {
    let tables = TableFixture::with_sockets(&["idle", "other tenant", "opening"]).await;
    let (tenant, other, now) = (tables.tenant().await, tables.tenant().await, Timestamp::now());
    let (chat, others) = (tables.chat(&tenant, "u", now).await, tables.chat(&other, "u", now).await);
    tables.connection(&tenant, &chat, "idle", now).await;
    tables.connection(&other, &others, "other tenant", now).await;
    let suspended = tables.tenants().set_status(&tenant.id, TenantStatus::Suspended).await;
    assert!(suspended.expect("DynamoDB responds"));
    tables.connection(&tenant, &chat, "opening", now.plus(5 * MINUTE)).await;

    assert_eq!(tables.maintain(now.plus(3 * MINUTE)).await, Report::default(), "not due yet");
    let report = tables.maintain(now.plus(5 * MINUTE)).await;
    assert_eq!((report.entries_processed, report.connections_closed, report.connection_slots_released), (2, 1, 1));
    assert_eq!(tables.management.posts("idle")[0].event["error"]["code"], "CONNECTION_CLOSING");
    let closed = ["idle", "other tenant", "opening"].map(|id| tables.management.is_closed(id));
    assert_eq!(closed, [true, false, false], "an opening socket is checked by ws-connect");
    assert_eq!(tables.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").len(), 1);
    assert_eq!(tables.maintain(now.plus(15 * MINUTE)).await.connections_closed, 1);
    assert_eq!(tables.connections().slots().list(&other.id).await.expect("DynamoDB responds").len(), 1);
    // The suspended tenant has no connection left, the other one has.
    tables.maintain(now.plus(30 * MINUTE)).await;
    assert_eq!(tables.queued("ConnectionsTable").await, BTreeSet::from([other.id.to_string()]));
}

#[tokio::test]
async fn sockets_of_an_expired_key_are_closed() {
    let tables = TableFixture::with_sockets(&["expired"]).await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    tables.connection(&tenant, &chat, "expired", now).await;
    let expiry = tables.tenants().set_key_expiry(&tenant.id, &tenant.key, now.plus(10 * MINUTE)).await;
    assert!(expiry.expect("DynamoDB responds"));
    assert_eq!(tables.maintain(now.plus(9 * MINUTE)).await.connections_closed, 0);
    assert_eq!(tables.maintain(now.plus(14 * MINUTE)).await.connections_closed, 1);
    assert!(tables.management.is_closed("expired"));
}

#[tokio::test]
async fn slots_of_lost_connections_are_freed() {
    let tables = TableFixture::with_sockets(&["long", "short"]).await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    let lost = tables.connection(&tenant, &chat, "lost", now).await;
    tables.connections().delete(&lost).await.expect("DynamoDB responds");
    tables.connection(&tenant, &chat, "long", now).await;
    tables.connection(&tenant, &chat, "short", now.plus(60 * MINUTE)).await;

    let report = tables.maintain(now.plus(5 * MINUTE)).await;
    assert_eq!(
        (report.connection_slots_released, report.connections_closed),
        (1, 0),
        "a stored connection may be open"
    );
    let report = tables.maintain(now.plus(121 * MINUTE)).await;
    assert_eq!(
        (report.connection_slots_released, report.connections_closed),
        (1, 0),
        "API Gateway ends every socket after two hours"
    );
    let left = tables.connections().list_by_tenant(&tenant.id).await.expect("DynamoDB responds");
    assert_eq!(left.iter().map(|connection| connection.connection_id.as_str()).collect::<Vec<_>>(), ["short"]);
    tables.maintain(now.plus(200 * MINUTE)).await;
    assert!(tables.queued("ConnectionsTable").await.is_empty());
}

#[tokio::test]
async fn unreadable_item_is_postponed_and_blocks_no_other() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chats = [tables.chat(&tenant, "u", now).await, tables.chat(&tenant, "u", now).await];
    for chat in &chats {
        tables.append(&tenant, chat, now).await;
    }
    tables.corrupt("ChatsTable", &format!("{}#{}", tenant.id, chats[0]), "~state", "message_count").await;
    let run = async |at| tables.maintenance(None).run(at, no_stop(), "test").await.0;
    let due = now.plus(15 * MINUTE);
    let report = run(due).await;
    assert_eq!((report.entries_processed, report.failures, report.generations_taken_over), (2, 1, 1));
    // It is retried 15 minutes after the failure.
    assert_eq!(run(due).await, Report::default());
    assert_eq!(run(Timestamp::now().plus(16 * MINUTE)).await.failures, 1);
}

#[tokio::test]
async fn long_chat_is_purged_in_several_runs() {
    let tables = TableFixture::new().await;
    let (tenant, now) = (tables.tenant().await, Timestamp::now());
    let chat = tables.chat(&tenant, "u", now).await;
    for _ in 0..200 {
        tables.exchange(&tenant, &chat, now).await;
    }
    assert!(tables.chats().delete(&tenant.id, &chat, now).await.expect("DynamoDB responds"));
    // 16 steps of two calls, each of which takes 100 ms.
    let slow = FaultProxy::start_delayed(Stack::shared().dynamodb_endpoint()).await;
    let maintenance = tables.maintenance(Some(&slow.url));
    let mut runs = 0;
    loop {
        runs += 1;
        let (report, result) =
            maintenance.run(now.plus(11 * MINUTE), StopTime::within(Duration::from_millis(1_500)), "test").await;
        result.expect("DynamoDB responds");
        assert_eq!(report.incomplete, report.chats_purged == 0, "{report:?}");
        if report.chats_purged == 1 {
            break;
        }
        assert!(runs < 50 && tables.queued("ChatsTable").await.len() == 1);
    }
    assert!(runs > 1);
    assert!(tables.keys("ChatsTable").await.iter().all(|key| !key.contains(chat.as_str())));
}

/// A tenant with one case of everything that maintenance does.
async fn with_pending_work(tables: &TableFixture, now: Timestamp) -> (TenantFixture, [ChatId; 3]) {
    let tenant = tables.tenant().await;
    let old = now.minus(3 * 24 * 60 * MINUTE);
    let chats = [
        tables.chat(&tenant, "u", now).await,
        tables.chat(&tenant, "u", now).await,
        tables.chat(&tenant, "u", old).await,
    ];
    tables.exchange(&tenant, &chats[0], now).await;
    assert!(tables.chats().delete(&tenant.id, &chats[0], now).await.expect("DynamoDB responds"));
    let exchange = tables.append(&tenant, &chats[1], now).await;
    let lease = tables.generations().lease(&tenant.id, &chats[1], &exchange.generation);
    assert!(lease.save("So far", now).await.expect("DynamoDB responds"));
    tables.exchange(&tenant, &chats[2], old).await;
    let lost = tables.connection(&tenant, &chats[1], &format!("{}-lost", tenant.id), now).await;
    tables.connections().delete(&lost).await.expect("DynamoDB responds");
    assert!(tables.tenants().set_retention(&tenant.id, Some(2), now).await.expect("DynamoDB responds"));
    (tenant, chats)
}

async fn assert_done(tables: &TableFixture, tenant: &TenantFixture, chats: &[ChatId; 3], now: Timestamp) {
    let keys = tables.keys("ChatsTable").await;
    for gone in [&chats[0], &chats[2]] {
        assert!(keys.iter().all(|key| !key.contains(gone.as_str())), "{keys:?}");
    }
    let expected = [(Status::Complete, "Hello".to_owned()), (Status::Interrupted, "So far".to_owned())];
    assert_eq!(statuses(tables, tenant, &chats[1], now).await, expected);
    let user = UserId::parse("u").expect("a user");
    assert_eq!(tables.users().chat_count(&tenant.id, &user).await.expect("DynamoDB responds"), 1);
    assert!(tables.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").is_empty());
    assert!(!tables.queued("ChatsTable").await.iter().any(|key| key.contains(tenant.id.as_str())));
}

#[tokio::test]
async fn run_killed_at_any_call_is_completed_by_the_next() {
    let tables = TableFixture::new().await;
    let now = Timestamp::now();
    let later = now.plus(16 * MINUTE);
    let mut allowed = 0;
    loop {
        let (tenant, chats) = with_pending_work(&tables, now).await;
        let (calls, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let proxy = FaultProxy::start_with_hook(Stack::shared().dynamodb_endpoint(), {
            let (calls, killed) = (calls.clone(), killed.clone());
            move |_| {
                let is_last = calls.fetch_add(1, Ordering::SeqCst) >= allowed;
                if is_last {
                    killed.notify_one();
                }
                async move { is_last.then_some(Fault::ServerError) }
            }
        })
        .await;
        let maintenance = tables.maintenance(Some(&proxy.url));
        let ended = tokio::select! {
            () = killed.notified() => false,
            (_, result) = maintenance.run(later, no_stop(), "test") => result.is_ok(),
        };
        tables.maintain(later.plus(11 * MINUTE)).await;
        assert_done(&tables, &tenant, &chats, now).await;
        if ended {
            break;
        }
        allowed += 1;
    }
    assert!(allowed > 24 + 15, "{allowed} calls");
}

#[tokio::test]
async fn simultaneous_runs_do_everything_once() {
    let tables = TableFixture::new().await;
    let now = Timestamp::now();
    let mut tenants = Vec::new();
    for _ in 0..5 {
        tenants.push(with_pending_work(&tables, now).await);
    }
    let maintenance = tables.maintenance(None);
    let later = now.plus(16 * MINUTE);
    let run = || Box::pin(maintenance.run(later, no_stop(), "test"));
    let ((one, first), (two, second)) = tokio::join!(run(), run());
    first.and(second).expect("DynamoDB responds");
    assert_eq!((one.failures, two.failures), (0, 0));
    assert_eq!(one.generations_taken_over + two.generations_taken_over, 5, "each is ended once");
    assert_eq!(one.chats_expired + two.chats_expired, 5);
    // A run that finds usage which the other run is counting leaves the chat in the queue for 15 minutes.
    tables.maintain(later.plus(16 * MINUTE)).await;
    for (tenant, chats) in &tenants {
        assert_done(&tables, tenant, chats, now).await;
    }
}

#[tokio::test]
async fn run_reads_due_entries_and_never_scans() {
    let tables = TableFixture::new().await;
    let now = Timestamp::now();
    for _ in 0..3 {
        let tenant = tables.tenant().await;
        for _ in 0..20 {
            tables.chat(&tenant, "u", now).await;
        }
    }
    let proxy = FaultProxy::start(Stack::shared().dynamodb_endpoint()).await;
    let maintenance = tables.maintenance(Some(&proxy.url));
    let calls = || proxy.take_calls();
    maintenance.run(now.plus(16 * MINUTE), no_stop(), "test").await.1.expect("DynamoDB responds");
    assert_eq!(calls(), vec!["Query".to_owned(); 24], "eight shards of three queues");

    with_pending_work(&tables, now).await;
    maintenance.run(now.plus(16 * MINUTE), no_stop(), "test").await.1.expect("DynamoDB responds");
    let calls = calls();
    assert!(!calls.iter().any(|operation| operation == "Scan"), "{calls:?}");
    assert!(calls.len() < 24 + 40, "{}: {calls:?}", calls.len());
}

#[tokio::test]
async fn function_fails_if_it_cannot_read_the_queue() {
    let stack = Stack::shared();
    let event = json!({ "detail-type": "Scheduled Event" });
    let deadline = Duration::from_secs(240);
    let healthy = LambdaRuntime::start(stack, "maintenance", deadline, &[]).await;
    healthy.send(event.clone());
    assert_eq!(healthy.responses(1).await, [Value::Null]);

    let unreachable = [("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")];
    let without_dynamodb = LambdaRuntime::start(stack, "maintenance", deadline, &unreachable).await;
    without_dynamodb.send(event);
    assert_eq!(without_dynamodb.responses(1).await[0]["errorMessage"], "UNAVAILABLE");
}

/// With the real gateway and a real socket.
#[tokio::test]
async fn function_closes_an_idle_socket_of_a_suspended_tenant() {
    let stack = Stack::shared();
    let tenant = stack.tenant("idle").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    let suspended = stack.tenants().set_status(&tenant.id, TenantStatus::Suspended).await;
    assert!(suspended.expect("DynamoDB responds"));
    // The socket must be 12 s old.
    let sweeping = eventually("the slot is free", async || {
        stack.make_due(&tenant).await;
        stack.invoke("maintenance", &json!({ "detail-type": "Scheduled Event" })).await;
        stack.connections().slots().list(&tenant.id).await.expect("DynamoDB responds").is_empty()
    });
    let (error, ()) = tokio::join!(socket.next_of("error"), sweeping);
    assert_eq!(error["error"]["code"], "CONNECTION_CLOSING");
    socket.closed().await;
}
