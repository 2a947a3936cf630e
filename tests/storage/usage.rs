//! Usage in the table: each generation is counted once, wherever a process dies.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use shared::{
    domain::{
        day::Day,
        generation::{GenerationRequest, Outcome},
        id::{ChatId, TenantId},
        message::{FinishReason, Status, Usage},
        time::Timestamp,
        usage::UsageCounts,
    },
    generation::take_over,
    storage::{AppendResult, ChatPosition, Exchange, FinishResult, GenerationLease, NewMessage, UsageRepository},
};
use tests::{Fault, FaultProxy, Stack, TableFixture, TenantFixture, new_message};

/// A generation that runs in a chat of the user `u`.
struct Running {
    chat: ChatId,
    exchange: Box<Exchange>,
    lease: GenerationLease,
}

const REPORTED: Usage = Usage { input_tokens: 20, output_tokens: 3, estimated: false };

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn day(text: &str) -> Day {
    text.parse().expect("a day")
}

async fn start(tables: &TableFixture, tenant: &TenantFixture, now: Timestamp) -> Running {
    let chat = tables.chat(tenant, "u", now).await;
    let generation = GenerationRequest { model: "test", input_tokens: 30, reservation: None };
    let new = NewMessage { generation, ..new_message("Hello") };
    let appended = tables.messages().append(&tenant.id, &chat, ChatPosition::default(), new, now).await;
    let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
    let lease = tables.generations().lease(&tenant.id, &chat, &exchange.generation);
    Running { chat, exchange, lease }
}

fn outcome() -> Outcome {
    Outcome {
        content: "Hi".to_owned(),
        status: Status::Complete,
        finish_reason: FinishReason::Stop,
        usage: REPORTED,
        first_token_ms: None,
    }
}

async fn finish(running: &Running, now: Timestamp) {
    running.lease.finish(&outcome(), now).await.expect("DynamoDB responds");
}

/// The usage that the message shows.
async fn stored_usage(tables: &TableFixture, tenant: &TenantFixture, running: &Running) -> Usage {
    let (generations, id) = (tables.generations(), &running.exchange.generation.message_id);
    let message = generations.find(&tenant.id, &running.chat, id, Timestamp::now()).await;
    message.expect("DynamoDB responds").expect("the message").message.usage.expect("usage")
}

/// Runs maintenance until nothing is left to do for what was started at this time.
async fn maintain(tables: &TableFixture, started: Timestamp) {
    for minutes in [16, 40, 80] {
        tables.maintain(started.plus(Duration::from_secs(minutes * 60))).await;
    }
}

const ALWAYS: (&str, &str) = ("2000-01-01", "2100-01-01");

async fn total(usage: &UsageRepository, tenant: &TenantId) -> UsageCounts {
    let (from, to) = (day(ALWAYS.0), day(ALWAYS.1));
    let by_model = usage.by_model(tenant, from, to, 100).await.expect("DynamoDB responds").expect("few models");
    let by_user = usage.by_user(tenant, from, to, 100).await.expect("DynamoDB responds").expect("few users");
    let total: UsageCounts = by_model.into_iter().map(|usage| usage.counts).sum();
    assert_eq!(total, by_user.into_iter().map(|usage| usage.counts).sum(), "models and users add up to the same");
    total
}

fn counts(generations: u64, estimated: u64, input: u64, output: u64) -> UsageCounts {
    UsageCounts {
        messages: generations,
        generations,
        estimated_generations: estimated,
        input_tokens: input,
        output_tokens: output,
    }
}

#[tokio::test]
async fn usage_is_counted_by_day_model_and_user() {
    let tables = TableFixture::new().await;
    let tenant = tables.tenant().await;
    for end in ["2026-01-30T23:59:59.999Z", "2026-01-31T00:00:00.000Z", "2026-01-31T12:00:00.000Z"] {
        let running = start(&tables, &tenant, at(end)).await;
        finish(&running, at(end)).await;
        let removed = running.lease.remove_record(REPORTED, at(end)).await.expect("DynamoDB responds");
        let removed = removed.expect("the generation runs");
        for _ in 0..2 {
            running.lease.count_usage(&removed).await.expect("DynamoDB responds");
        }
        assert!(running.lease.remove_record(REPORTED, at(end)).await.expect("DynamoDB responds").is_none());
    }
    let usage = tables.usage();
    let by_model = async |from, to| {
        let listed =
            usage.by_model(&tenant.id, day(from), day(to), 100).await.expect("DynamoDB responds").expect("few models");
        assert!(listed.iter().all(|usage| usage.model == "test"));
        listed.into_iter().map(|usage| usage.counts).sum::<UsageCounts>()
    };
    assert_eq!(by_model("2026-01-30", "2026-01-30").await, counts(1, 0, 20, 3));
    assert_eq!(by_model("2026-01-31", "2026-01-31").await, counts(2, 0, 40, 6));
    assert_eq!(by_model("2026-01-01", "2026-01-29").await, counts(0, 0, 0, 0));
    let by_user = usage.by_user(&tenant.id, day("2026-01-31"), day("2026-01-31"), 2).await.expect("DynamoDB responds");
    let by_user = by_user.expect("at most two items");
    assert!(by_user.iter().all(|usage| usage.user_id.as_str() == "u"));
    assert_eq!(by_user.into_iter().map(|usage| usage.counts).sum::<UsageCounts>(), counts(2, 0, 40, 6));
    let days = usage.by_user(&tenant.id, day("2026-01-30"), day("2026-01-31"), 1).await.expect("DynamoDB responds");
    assert!(days.is_none(), "two items are more than one");
    assert_eq!(total(&usage, &tables.tenant().await.id).await, UsageCounts::default());
}

/// The owner dies while it generates, after it stored the end, or after it removed the record.
#[tokio::test]
async fn generation_of_an_owner_that_died_is_counted_once_by_what_is_stored() {
    for died_after in ["nothing", "end", "record"] {
        let tables = TableFixture::new().await;
        let (tenant, now) = (tables.tenant().await, Timestamp::now());
        let running = start(&tables, &tenant, now).await;
        let expected = match died_after {
            "nothing" => {
                // Eight letters are two tokens.
                running.lease.save("Good day", now).await.expect("DynamoDB responds");
                counts(1, 1, 30, 2)
            }
            _ => counts(1, 0, 20, 3),
        };
        if died_after != "nothing" {
            finish(&running, now).await;
        }
        if died_after == "record" {
            running.lease.remove_record(REPORTED, now).await.expect("DynamoDB responds");
        }
        assert_eq!(total(&tables.usage(), &tenant.id).await, UsageCounts::default());
        maintain(&tables, now).await;
        assert_eq!(total(&tables.usage(), &tenant.id).await, expected, "died after: {died_after}");
        assert!(tables.queued("ChatsTable").await.is_empty(), "died after: {died_after}");
        let usage = stored_usage(&tables, &tenant, &running).await;
        assert_eq!(
            (u64::from(usage.input_tokens), u64::from(usage.output_tokens), u64::from(usage.estimated)),
            (expected.input_tokens, expected.output_tokens, expected.estimated_generations),
            "the message shows what is counted"
        );
    }
}

/// The owner died before the chat was deleted, or after, with or without having removed the record.
#[tokio::test]
async fn generation_of_a_deleted_chat_is_counted_before_the_chat_is_forgotten() {
    for died_after in ["nothing", "record"] {
        let tables = TableFixture::new().await;
        let (tenant, now) = (tables.tenant().await, Timestamp::now());
        let running = start(&tables, &tenant, now).await;
        if died_after == "record" {
            finish(&running, now).await;
            running.lease.remove_record(REPORTED, now).await.expect("DynamoDB responds");
        }
        assert!(tables.chats().delete(&tenant.id, &running.chat, now).await.expect("DynamoDB responds"));
        maintain(&tables, now).await;
        let expected = if died_after == "record" { counts(1, 0, 20, 3) } else { counts(1, 1, 30, 0) };
        assert_eq!(total(&tables.usage(), &tenant.id).await, expected, "died after: {died_after}");
        let left = tables.keys("ChatsTable").await;
        assert!(left.iter().all(|key| !key.contains(running.chat.as_str())), "{left:?}");
    }
}

/// All parties that may end a generation do so at once, and every third response is lost.
#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_ends_are_counted_once() {
    let tables = TableFixture::new().await;
    let tenant = tables.tenant().await;
    let calls = AtomicUsize::new(0);
    let proxy = FaultProxy::start_with_hook(Stack::shared().dynamodb_endpoint(), move |called| {
        let writes = called.starts_with("UpdateItem") || called.starts_with("TransactWriteItems");
        let lose = writes && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
        async move { lose.then_some(Fault::LostResponse) }
    })
    .await;
    let start_time = Timestamp::now().minus(Duration::from_secs(60));
    let ends = join_all((0..8).map(async |_| {
        let running = start(&tables, &tenant, start_time).await;
        let later = Timestamp::now();
        let maintenance = tables.maintenance(Some(&proxy.url));
        let message = &running.exchange.generation.message_id;
        let takeovers = (0..3).map(async |_| {
            let takeover =
                take_over(&maintenance.generations, (&tenant.id, &running.chat), message, Status::Interrupted, later);
            let _ = takeover.await;
        });
        let owner = async {
            let lease = maintenance.generations.lease(&tenant.id, &running.chat, &running.exchange.generation);
            if matches!(lease.finish(&outcome(), later).await, Ok(FinishResult::Stored))
                && let Ok(Some(removed)) = lease.remove_record(REPORTED, later).await
            {
                let _ = lease.count_usage(&removed).await;
            }
        };
        tokio::join!(join_all(takeovers), owner);
        running
    }))
    .await;
    maintain(&tables, Timestamp::now()).await;
    let mut stored = UsageCounts::default();
    for running in &ends {
        stored += UsageCounts::of_generation(stored_usage(&tables, &tenant, running).await, true);
    }
    assert_eq!(stored.generations, 8);
    assert_eq!(total(&tables.usage(), &tenant.id).await, stored);
}
