//! Budgets in the table: exact under concurrency, lost responses, and deaths of owners.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use shared::{
    domain::{
        budget::{BudgetLimits, BudgetOverrides, GenerationSlot, QuotaExceeded, Reservation, TokenQuota},
        generation::{GenerationRequest, Outcome},
        id::{ChatId, TenantId},
        limits::Limits,
        message::{FinishReason, Status, Usage},
        time::Timestamp,
    },
    storage::{AppendResult, BudgetAdmission, BudgetRepository, ChatPosition, NewMessage, StorageError, Takeover},
};
use tests::{Fault, FaultProxy, Stack, new_message};

const LIMITS: BudgetLimits = BudgetLimits {
    generations: 7,
    messages_per_minute: 100_000,
    tokens_per_day: TokenQuota::NONE,
    tokens_per_month: TokenQuota::NONE,
};

/// Slots are named by millisecond and six digits, which two of one millisecond may share, so each call names its own.
fn reservation(tokens: u32, now: Timestamp) -> Reservation {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let taken_at = now.plus(Duration::from_millis(CALLS.fetch_add(1, Ordering::Relaxed) % 1_000));
    Reservation { slot: GenerationSlot::new(taken_at), tokens }
}

/// The chat of most generations here.
fn chat() -> ChatId {
    ChatId::parse("chat_01M8H2AYHKZWMC6C31M1XR8RK4").expect("an id")
}

/// The refusal of a tenant whose generations are young.
fn at_limit(limit: u32) -> BudgetAdmission {
    BudgetAdmission::GenerationLimit { limit, may_be_lost: false }
}

async fn admit(budgets: &BudgetRepository, tenant: &TenantId, limits: BudgetLimits, now: Timestamp) -> BudgetAdmission {
    budgets.admit((tenant, &chat()), reservation(10, now), limits, now).await.expect("DynamoDB responds")
}

/// Reserves tokens under a quota a day and one a month. Returns the reservation, or the period whose quota is exceeded.
async fn reserve(
    tenant: &TenantId,
    tokens: u32,
    (day, month): (u64, u64),
    now: Timestamp,
) -> Result<Reservation, &'static str> {
    let reservation = reservation(tokens, now);
    let quotas =
        BudgetLimits { tokens_per_day: TokenQuota::tokens(day), tokens_per_month: TokenQuota::tokens(month), ..LIMITS };
    match Stack::shared().budgets().admit((tenant, &chat()), reservation, quotas, now).await.expect("DynamoDB responds")
    {
        BudgetAdmission::Admitted => Ok(reservation),
        BudgetAdmission::Quota(QuotaExceeded { period, .. }) => Err(period),
        other => panic!("{other:?}"),
    }
}

async fn tokens(tenant: &TenantId, now: Timestamp) -> (u64, u64) {
    let status = Stack::shared().budgets().status(tenant, now).await.expect("DynamoDB responds");
    (status.tokens_of_day, status.tokens_of_month)
}

async fn settle(tenant: &TenantId, reservation: Reservation, used: u64) {
    Stack::shared().budgets().settle((tenant, &chat()), reservation, used).await.expect("DynamoDB responds");
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
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
    assert!(refused.into_iter().all(|refused| refused == at_limit(7)));
    assert_eq!(running(&tenant).await, 7);
}

#[tokio::test]
async fn simultaneous_messages_are_admitted_up_to_the_rate_and_again_in_the_next_minute() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let limits = BudgetLimits { generations: 1_000, messages_per_minute: 9, ..LIMITS };
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
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, at_limit(0));
    set(BudgetOverrides { generations: Some(1), ..BudgetOverrides::default() }).await;
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, BudgetAdmission::Admitted);
    assert_eq!(admit(&budgets, &tenant, LIMITS, now).await, at_limit(1));
    set(BudgetOverrides { generations: Some(9), messages_per_minute: Some(1), ..BudgetOverrides::default() }).await;
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

#[tokio::test]
async fn tokens_are_reserved_up_to_the_quota_and_settled_by_what_was_used() {
    let tenant = new_tenant().await;
    let now = at("2026-01-30T12:00:00.000Z");
    let quotas = (100, 1_000);
    let first = reserve(&tenant, 60, quotas, now).await.expect("it fits");
    assert_eq!(reserve(&tenant, 41, quotas, now).await, Err("day"), "what is reserved counts");
    let second = reserve(&tenant, 40, quotas, now).await.expect("it fits exactly");
    assert_eq!(tokens(&tenant, now).await, (100, 100));
    for _ in 0..2 {
        settle(&tenant, first, 5).await;
    }
    assert_eq!(tokens(&tenant, now).await, (45, 45), "settling twice is the same as once");
    settle(&tenant, second, 70).await;
    assert_eq!(tokens(&tenant, now).await, (75, 75), "a model may count more than was reserved");
    assert_eq!(reserve(&tenant, 26, quotas, now).await, Err("day"));
    reserve(&tenant, 25, quotas, now).await.expect("it fits exactly");
}

#[tokio::test]
async fn simultaneous_reservations_never_pass_the_quota() {
    let tenant = new_tenant().await;
    let now = Timestamp::now();
    let reserved = join_all((0..7).map(|_| reserve(&tenant, 30, (100, 1_000), now))).await;
    assert_eq!(reserved.iter().filter(|reserved| reserved.is_ok()).count(), 3, "{reserved:?}");
    assert_eq!(tokens(&tenant, now).await, (90, 90));
}

#[tokio::test]
async fn new_day_and_new_month_start_with_what_running_generations_reserve() {
    let tenant = new_tenant().await;
    let quotas = (100, 150);
    let evening = at("2026-01-30T23:59:59.000Z");
    let ended = reserve(&tenant, 50, quotas, evening).await.expect("it fits");
    settle(&tenant, ended, 50).await;
    let running = reserve(&tenant, 40, quotas, evening).await.expect("it fits");

    let morning = at("2026-01-31T00:00:01.000Z");
    assert_eq!(tokens(&tenant, morning).await, (40, 90));
    assert_eq!(reserve(&tenant, 61, quotas, morning).await, Err("month"), "a new day does not renew the month");
    let second = reserve(&tenant, 60, quotas, morning).await.expect("it fits exactly");
    assert_eq!(tokens(&tenant, morning).await, (100, 150));
    settle(&tenant, second, 10).await;
    settle(&tenant, running, 3).await;
    assert_eq!(tokens(&tenant, morning).await, (13, 63), "the reservation of yesterday is settled today");

    let next_month = at("2026-02-01T00:00:00.000Z");
    assert_eq!(tokens(&tenant, next_month).await, (0, 0));
    reserve(&tenant, 100, quotas, next_month).await.expect("a new month");
    assert_eq!(tokens(&tenant, next_month).await, (100, 100));
}

#[tokio::test]
async fn quota_of_a_tenant_wins_also_if_it_is_none() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let now = Timestamp::now();
    for (quota, expected) in [(TokenQuota::tokens(5), Err("day")), (TokenQuota::NONE, Ok(()))] {
        let own = BudgetOverrides { tokens_per_day: Some(quota), ..BudgetOverrides::default() };
        budgets.set_limits(&tenant, own).await.expect("DynamoDB responds");
        assert_eq!(reserve(&tenant, 6, (5, 1_000), now).await.map(drop), expected, "{quota}");
    }
    assert_eq!(reserve(&tenant, 1_000, (5, 1_000), now).await, Err("month"));
}

#[tokio::test]
async fn tokens_of_an_expired_slot_count_as_used() {
    let tenant = new_tenant().await;
    let start = at("2026-01-30T12:00:00.000Z");
    let lost = reserve(&tenant, 60, (1_000, 1_000), start).await.expect("it fits");
    for _ in 0..6 {
        reserve(&tenant, 1, (1_000, 1_000), start).await.expect("it fits");
    }
    let later = start.plus(Duration::from_secs(16 * 60 + 1));
    reserve(&tenant, 1, (1_000, 1_000), later).await.expect("the expired slots are removed");
    settle(&tenant, lost, 0).await;
    assert_eq!(tokens(&tenant, later).await, (67, 67));
}

/// Processes died between the budget and the message, month after month.
#[tokio::test]
async fn reservations_that_were_lost_do_not_count_on_later_days() {
    let tenant = new_tenant().await;
    let quotas = (100, 250);
    for (lost_at, next_day) in [
        ("2026-01-30T12:00:00.000Z", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31T13:00:00.000Z", "2026-02-01T12:00:00.000Z"),
    ] {
        reserve(&tenant, 90, quotas, at(lost_at)).await.expect("it fits");
        let next_day = at(next_day);
        assert_eq!(tokens(&tenant, next_day).await.0, 0, "the slot has expired");
        let reserved = reserve(&tenant, 100, quotas, next_day).await.expect("the whole quota of the new day is there");
        settle(&tenant, reserved, 0).await;
        let running = Stack::shared().budgets().status(&tenant, next_day).await.expect("DynamoDB responds").running;
        assert_eq!((running, tokens(&tenant, next_day).await.0), (0, 0));
    }
}

/// Clocks differ by seconds, and messages arrive late.
#[tokio::test]
async fn day_does_not_go_back() {
    let tenant = new_tenant().await;
    let (before, after) = (at("2026-01-31T23:59:59.900Z"), at("2026-02-01T00:00:00.100Z"));
    let first = reserve(&tenant, 60, (100, 100), after).await.expect("it fits");
    settle(&tenant, first, 60).await;
    assert_eq!(reserve(&tenant, 50, (100, 100), before).await, Err("month"), "the new month counts already");
    reserve(&tenant, 40, (100, 100), before).await.expect("it fits");
    assert_eq!(tokens(&tenant, after).await, (100, 100));
}

#[tokio::test]
async fn refused_tenant_is_admitted_as_soon_as_its_limit_allows_it() {
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let now = Timestamp::now();
    let limits = BudgetLimits { generations: 1, ..LIMITS };
    let taken = reservation(10, now);
    assert_eq!(
        budgets.admit((&tenant, &chat()), taken, limits, now).await.expect("DynamoDB responds"),
        BudgetAdmission::Admitted
    );
    for _ in 0..2 {
        assert_eq!(admit(&budgets, &tenant, limits, now).await, at_limit(1));
    }
    budgets.settle((&tenant, &chat()), taken, 10).await.expect("DynamoDB responds");
    assert_eq!(admit(&budgets, &tenant, limits, now).await, BudgetAdmission::Admitted);
}

#[tokio::test]
async fn tenant_at_its_limit_claims_one_search_of_its_old_generations_in_an_interval() {
    const INTERVAL: Duration = Duration::from_secs(20);
    let (budgets, tenant) = (Stack::shared().budgets(), new_tenant().await);
    let (old, young) = (Timestamp::now(), ChatId::generate());
    let now = old.plus(INTERVAL);
    let limits = BudgetLimits { generations: 2, ..LIMITS };
    assert_eq!(admit(&budgets, &tenant, limits, old).await, BudgetAdmission::Admitted);
    let admitted = budgets.admit((&tenant, &young), reservation(10, now), limits, now).await;
    assert_eq!(admitted.expect("DynamoDB responds"), BudgetAdmission::Admitted);

    let claim = async |now| budgets.claim_search(&tenant, now).await.expect("DynamoDB responds");
    // The name of a slot may be up to a second later, see `reservation`.
    let now = now.plus(Duration::from_secs(1));
    for at in [now, now.plus(INTERVAL)] {
        let may_be_lost = BudgetAdmission::GenerationLimit { limit: 2, may_be_lost: true };
        assert_eq!(admit(&budgets, &tenant, limits, at).await, may_be_lost);
        let mut claims = join_all((0..4).map(|_| claim(at))).await;
        claims.retain(|chats| !chats.is_empty());
        assert_eq!(claims.len(), 1, "one of four at once, at {at}");
        assert!(claims[0].contains(&chat()) && claims[0].contains(&young) == (at > now), "{claims:?}");
        let until_next = at.plus(INTERVAL - Duration::from_millis(1));
        assert_eq!(admit(&budgets, &tenant, limits, until_next).await, at_limit(2));
        assert!(claim(until_next).await.is_empty());
    }
}

/// Repeats a call until it succeeds: the SDK makes three attempts, and all may lose their responses.
async fn until_done<T>(call: impl AsyncFn() -> Result<T, StorageError>) -> T {
    loop {
        if let Ok(done) = call().await {
            return done;
        }
    }
}

/// Every response may be lost, and every settlement may run twice. The model: the reservations that were admitted and not
/// yet settled, and the tokens of those that were.
#[tokio::test(flavor = "multi_thread")]
async fn random_reservations_and_settlements_never_pass_a_limit_and_count_once() {
    const QUOTA: u64 = 400;
    let stack = Stack::shared();
    let calls = AtomicUsize::new(0);
    let proxy = FaultProxy::start_with_hook(stack.dynamodb_endpoint(), move |called| {
        let lose = called == "UpdateItem" && calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(5);
        async move { lose.then_some(Fault::LostResponse) }
    })
    .await;
    let budgets = BudgetRepository::new(stack.dynamodb_at(&proxy.url), "ChatsTable".to_owned());
    let tenant = new_tenant().await;
    let limits = BudgetLimits { tokens_per_day: TokenQuota::tokens(QUOTA), ..LIMITS };
    let used = AtomicU64::new(0);
    // The test may pass midnight.
    let now = Timestamp::now();
    let worker = async |seed: u64| {
        let mut random = seed;
        let mut held = BTreeSet::new();
        for _ in 0..25 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let settle = async |held: &mut BTreeSet<Reservation>| {
                let Some(reservation) = held.pop_first() else { return };
                let tokens = (random >> 20) % u64::from(reservation.tokens / 4);
                for _ in 0..=(random >> 40) % 2 {
                    until_done(async || budgets.settle((&tenant, &chat()), reservation, tokens).await).await;
                }
                used.fetch_add(tokens, Ordering::Relaxed);
            };
            if random >> 62 == 0 {
                settle(&mut held).await;
                continue;
            }
            let tokens = 20 + u32::try_from((random >> 30) % 80).expect("small");
            let new = reservation(tokens, now);
            match until_done(async || budgets.admit((&tenant, &chat()), new, limits, now).await).await {
                BudgetAdmission::Admitted => assert!(held.insert(new)),
                BudgetAdmission::GenerationLimit { limit: 7, .. } | BudgetAdmission::Quota(_) => {
                    settle(&mut held).await
                }
                other => panic!("{other:?}"),
            }
            let status = stack.budgets().status(&tenant, now).await.expect("DynamoDB responds");
            let reserved: u64 = held.iter().map(|held| u64::from(held.tokens)).sum();
            assert!(status.running >= held.len() && status.running <= 7, "{status:?}, {} of them here", held.len());
            assert!((reserved..=QUOTA).contains(&status.tokens_of_day), "{status:?}, {reserved} of them here");
        }
        held
    };
    let held: BTreeSet<Reservation> = join_all((1..=6).map(worker)).await.into_iter().flatten().collect();
    let reserved: u64 = held.iter().map(|held| u64::from(held.tokens)).sum();
    assert_eq!(running(&tenant).await, held.len(), "each slot that is held is counted once");
    assert_eq!(tokens(&tenant, now).await.0, reserved + used.load(Ordering::Relaxed), "each token is counted once");
    for reservation in held {
        until_done(async || budgets.settle((&tenant, &chat()), reservation, 0).await).await;
    }
    assert_eq!(running(&tenant).await, 0);
    assert_eq!(tokens(&tenant, now).await.0, used.load(Ordering::Relaxed));
}

/// The owner dies while it generates, or between the end and its cleanup.
#[tokio::test]
async fn takeover_settles_the_budget_of_an_owner_that_died() {
    let stack = Stack::shared();
    for has_ended in [false, true] {
        let tenant = stack.tenant("slot of the dead").await;
        let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
        let started = Timestamp::from_millis(Timestamp::now().as_millis() - 60_000);
        let reservation = reservation(1_000, started);
        let admitted = stack.budgets().admit((&tenant.id, &chat), reservation, LIMITS, started).await;
        assert_eq!(admitted.expect("DynamoDB responds"), BudgetAdmission::Admitted);
        let request = GenerationRequest { model: "test", input_tokens: 30, reservation: Some(reservation) };
        let new = NewMessage { generation: request, ..new_message("Hello") };
        let appended = stack.messages().append(&tenant.id, &chat, ChatPosition::default(), new, started).await;
        let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
        let generations = stack.generations();
        if has_ended {
            let outcome = Outcome {
                content: "Hi".to_owned(),
                status: Status::Complete,
                finish_reason: FinishReason::Stop,
                usage: Usage::reported(20, 3),
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
        let used = if has_ended { 23 } else { 30 };
        assert_eq!(tokens(&tenant.id, started).await.0, used, "has ended: {has_ended}");
    }
}
