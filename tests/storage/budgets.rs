//! Budgets in the table: exact under concurrency, lost responses, and deaths of owners.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use shared::{
    domain::{
        budget::{BudgetLimits, BudgetOverrides, GenerationSlot},
        generation::Outcome,
        id::{ChatId, TenantId},
        limits::Limits,
        message::{FinishReason, Status, Usage},
        time::Timestamp,
    },
    storage::{AppendResult, BudgetAdmission, BudgetRepository, ChatPosition, NewMessage, StorageError, Takeover},
};
use tests::{Fault, FaultProxy, Stack};

const LIMITS: BudgetLimits = BudgetLimits { generations: 7, messages_per_minute: 100_000 };

/// Slots are named by millisecond and six digits, which two of one millisecond may share, so each call names its own.
async fn admit(budgets: &BudgetRepository, tenant: &TenantId, limits: BudgetLimits, now: Timestamp) -> BudgetAdmission {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let taken_at = now.plus(Duration::from_millis(CALLS.fetch_add(1, Ordering::Relaxed) % 1_000));
    budgets.admit(tenant, GenerationSlot::new(taken_at), limits, now).await.expect("DynamoDB responds")
}

/// A tenant without limits of its own.
async fn new_tenant() -> TenantId {
    Stack::shared().tenant_with("budgets", Limits::default()).await.id
}

async fn running(tenant: &TenantId) -> usize {
    Stack::shared().budgets().status(tenant, Timestamp::now()).await.expect("DynamoDB responds").running
}

#[tokio::test]
async fn simultaneous_generations_are_admitted_up_to_the_limit() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let now = Timestamp::now();
    let admitted = join_all((0..30).map(|_| admit(&budgets, &tenant, LIMITS, now))).await;
    let (admitted, refused): (Vec<_>, Vec<_>) =
        admitted.into_iter().partition(|admission| *admission == BudgetAdmission::Admitted);
    assert_eq!((admitted.len(), refused.len()), (7, 23));
    assert!(refused.into_iter().all(|refused| refused == BudgetAdmission::GenerationLimit(7)));
    assert_eq!(running(&tenant).await, 7);
}

#[tokio::test]
async fn simultaneous_messages_are_admitted_up_to_the_rate_and_again_in_the_next_minute() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let limits = BudgetLimits { generations: 1_000, messages_per_minute: 9 };
    let start = Timestamp::now();
    let end = start.plus(Duration::from_secs(60));
    for now in [start, end] {
        let admitted = join_all((0..20).map(|_| admit(&budgets, &tenant, limits, now))).await;
        let count = admitted.iter().filter(|admission| **admission == BudgetAdmission::Admitted).count();
        assert_eq!(count, 9);
        let last = now.plus(Duration::from_millis(59_999));
        let refused = BudgetAdmission::MessageRate { limit: 9, ends_at: now.plus(Duration::from_secs(60)) };
        assert_eq!(admit(&budgets, &tenant, limits, last).await, refused, "the minute is not over");
    }
}

#[tokio::test]
async fn own_limits_win_over_those_of_the_installation_from_the_next_message_on() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let now = Timestamp::now();
    let set = async |limits| budgets.set_limits(&tenant, limits).await.expect("DynamoDB responds");
    set(BudgetOverrides { generations: Some(0), ..BudgetOverrides::default() }).await;
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, BudgetAdmission::GenerationLimit(0));
    set(BudgetOverrides { generations: Some(1), ..BudgetOverrides::default() }).await;
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, BudgetAdmission::Admitted);
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, BudgetAdmission::GenerationLimit(1));
    set(BudgetOverrides { generations: Some(9), messages_per_minute: Some(1) }).await;
    let refused = admit(&budgets, &tenant, LIMITS, now).await;
    assert!(matches!(refused, BudgetAdmission::MessageRate { limit: 1, .. }), "{refused:?}");
}

#[tokio::test]
async fn expired_slots_are_removed_before_a_tenant_is_refused() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let long_ago = Timestamp::now();
    for _ in 0..7 {
        assert_eq!(admit(&budgets, &tenant, LIMITS, long_ago).await, BudgetAdmission::Admitted);
    }
    let now = long_ago.plus(Duration::from_secs(16 * 60 + 1));
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, BudgetAdmission::Admitted);
    assert_eq!(running(&tenant).await, 1);
}

/// Repeats a call until it succeeds: the SDK makes three attempts, and all may lose their responses.
async fn until_done<T>(call: impl AsyncFn() -> Result<T, StorageError>) -> T {
    loop {
        if let Ok(done) = call().await {
            return done;
        }
    }
}

/// Every response may be lost, and every release may run twice. The model: the set of slots that were admitted and not yet
/// released.
#[tokio::test(flavor = "multi_thread")]
async fn random_admissions_and_releases_never_pass_the_limit_and_leave_nothing() {
    let stack = Stack::shared();
    let calls = AtomicUsize::new(0);
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |called| {
        let lose = called == "UpdateItem" && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(5);
        async move { lose.then_some(Fault::LostResponse) }
    })
    .await;
    let budgets = BudgetRepository::new(stack.dynamodb_at(&proxy.url), "ChatsTable".to_owned());
    let tenant = new_tenant().await;
    let worker = async |seed: u64| {
        let mut random = seed;
        let mut held = BTreeSet::new();
        for _ in 0..25 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let now = Timestamp::now();
            if random >> 62 == 0
                && let Some(slot) = held.pop_first()
            {
                for _ in 0..=(random >> 40) % 2 {
                    until_done(async || budgets.release(&tenant, slot).await).await;
                }
                continue;
            }
            let slot = GenerationSlot::new(now);
            match until_done(async || budgets.admit(&tenant, slot, LIMITS, now).await).await {
                BudgetAdmission::Admitted => assert!(held.insert(slot)),
                BudgetAdmission::GenerationLimit(7) => {
                    if let Some(slot) = held.pop_last() {
                        until_done(async || budgets.release(&tenant, slot).await).await;
                    }
                }
                other => panic!("{other:?}"),
            }
            let taken = running(&tenant).await;
            assert!(taken >= held.len() && taken <= 7, "{taken} taken, {} of them here", held.len());
        }
        held
    };
    let held: BTreeSet<GenerationSlot> = join_all((1..=6).map(worker)).await.into_iter().flatten().collect();
    assert_eq!(running(&tenant).await, held.len(), "each slot that is held is counted once");
    for slot in held {
        until_done(async || budgets.release(&tenant, slot).await).await;
    }
    assert_eq!(running(&tenant).await, 0);
}

/// The owner dies while it generates, or between the end and its cleanup.
#[tokio::test]
async fn takeover_releases_the_slot_of_an_owner_that_died() {
    let stack = Stack::shared();
    for has_ended in [false, true] {
        let tenant = stack.tenant("slot of the dead").await;
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        let started = Timestamp::from_millis(Timestamp::now().as_millis() - 60_000);
        let slot = GenerationSlot::new(started);
        let admitted = stack.budgets().admit(&tenant.id, slot, LIMITS, started).await;
        assert_eq!(admitted.expect("DynamoDB responds"), BudgetAdmission::Admitted);
        let new = NewMessage { content: "Hello", client_id: None, model: "test", slot: Some(slot) };
        let appended = stack.messages().append(&tenant.id, &chat, ChatPosition::default(), new, started).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let generations = stack.generations();
        if has_ended {
            let outcome = Outcome {
                content: "Hi".to_owned(),
                status: Status::Complete,
                finish_reason: FinishReason::Stop,
                usage: Usage::default(),
                first_token_ms: None,
            };
            let lease = generations.lease(&tenant.id, &chat, &exchange.generation);
            lease.finish(&outcome, started).await.expect("DynamoDB responds");
        }
        assert_eq!(running(&tenant.id).await, 1);
        let id = &exchange.generation.message_id;
        let takeover = generations.take_over(&tenant.id, &chat, id, Status::Interrupted, Timestamp::now()).await;
        let Takeover::Ended(ended) = takeover.expect("DynamoDB responds") else { panic!("not ended") };
        generations.clean_up(&tenant.id, &chat, &ended).await.expect("DynamoDB responds");
        assert_eq!(running(&tenant.id).await, 0, "has ended: {has_ended}");
    }
}
