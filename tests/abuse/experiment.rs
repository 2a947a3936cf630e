//! A tenant that behaves beside a tenant that attacks, on a stack that runs functions as Lambda does.
//!
//! A process takes its next event only when its work after the response is done, so a process is an environment. Each
//! function has [`ENVIRONMENTS`] instead of the thousand of an account, and a tenant [`GENERATIONS`] instead of 50. All other
//! limits are those of production.
//!
//! An event waits for a free environment, so an attack that holds them all stops the answers of the behaving tenant until
//! the gateway gives up after 29 s.
#![expect(clippy::print_stdout, reason = "the figures are printed")]

use std::{sync::OnceLock, time::Duration};

use serde_json::Value;
use shared::domain::{budget::BudgetOverrides, id::ChatId, limits::Limits, time::Timestamp};
use tests::{Options, Stack, Tenant, eventually};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{
    behaving_tenant::BehavingTenant,
    model,
    usage::{Period, Usage},
};

/// Processes of each function.
pub(super) const ENVIRONMENTS: usize = 24;

/// Generations that a tenant runs at once.
pub(super) const GENERATIONS: usize = 8;

/// One attack at a time: another one would change what is measured.
static TURN: Mutex<()> = Mutex::const_new(());

/// How long an experiment lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    quiet: Duration,
    attack: Duration,
    /// The time from one message of the behaving tenant to the next.
    pace: Duration,
    /// First tokens are fast enough in any case if they take less. Both tenants, DynamoDB and all processes share a few
    /// cores, so that they become slower whatever the limits are. Without an environment they would wait for 29 s and fail.
    fast_enough: Duration,
}

impl Length {
    /// A few seconds, beside other tests.
    pub(super) const SHORT: Self = Self {
        quiet: Duration::from_millis(800),
        attack: Duration::from_millis(2_200),
        pace: Duration::from_millis(250),
        fast_enough: Duration::from_secs(5),
    };

    /// A minute, or `ABUSE_SECONDS`.
    pub(super) fn long() -> Self {
        let seconds = match std::env::var("ABUSE_SECONDS") {
            Ok(seconds) => {
                seconds.parse().unwrap_or_else(|_| panic!("ABUSE_SECONDS must be a number, not {seconds:?}"))
            }
            Err(_) => 60,
        };
        let attack = Duration::from_secs(seconds);
        Self { quiet: attack / 4, attack, pace: Duration::from_secs(2), fast_enough: Duration::from_secs(1) }
    }

    /// Whether there is time for what takes seconds to build up.
    pub(super) fn is_long(self) -> bool {
        self.attack > Self::SHORT.attack
    }
}

/// Two tenants before an attack.
pub(super) struct Experiment {
    name: &'static str,
    length: Length,
    pub(super) stack: &'static Stack,
    pub(super) attacker: Tenant,
    behaving: BehavingTenant,
    _turn: MutexGuard<'static, ()>,
}

fn stack() -> &'static Stack {
    static STACK: OnceLock<Option<Stack>> = OnceLock::new();
    let start = || {
        let mut options = Options::binaries();
        let flags = ["--wait-after-response", "--processes", &ENVIRONMENTS.to_string()].map(str::to_owned);
        let parameters = [
            format!("GenerationsPerTenant={GENERATIONS}"),
            format!("OpenAiBaseUrl={}", model::start()),
            format!("AllowedModels={}", model::NAME),
        ];
        let parameters = parameters.into_iter().flat_map(|parameter| ["--parameter".to_owned(), parameter]);
        options.arguments.extend(flags.into_iter().chain(parameters));
        std::panic::catch_unwind(|| Stack::start(&options)).ok()
    };
    STACK.get_or_init(start).as_ref().expect("the stack did not start; the first failed test says why")
}

impl Experiment {
    /// Waits for its turn, and creates two tenants with the limits of production. An attacker prepares its attack before
    /// [`run`](Self::run).
    pub(super) async fn new(name: &'static str, length: Length) -> Self {
        let turn = TURN.lock().await;
        let stack = tokio::task::spawn_blocking(stack).await.expect("the stack starts");
        let behaving = BehavingTenant::new(stack.tenant_with("behaving", Limits::default()).await).await;
        let attacker = stack.tenant_with(name, Limits::default()).await;
        Self { name, length, stack, attacker, behaving, _turn: turn }
    }

    /// Makes the attacker a client of the behaving tenant, with another key.
    pub(super) fn attack_with_key(&mut self, key: &str) {
        self.attacker = self.behaving.tenant.with_key(key);
    }

    /// Gives the attacker limits of its own.
    pub(super) async fn set_limits(&self, limits: BudgetOverrides) {
        self.stack.budgets().set_limits(&self.attacker.id, limits).await.expect("DynamoDB responds");
    }

    /// When an attack that begins now ends, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.length.attack.as_secs_f64()
    }

    /// Runs the behaving tenant alone, then beside the attack, which lasts until the given time and returns what it saw, with
    /// the chats whose generations must be ended. Returns also what the attacker used.
    ///
    /// # Panics
    ///
    /// When the behaving tenant sees an error, or its first tokens take twice as long as without the attack.
    pub(super) async fn run<T>(self, attack: impl AsyncFnOnce(&Self, Instant) -> (T, Vec<String>)) -> (T, Usage) {
        let Length { quiet, attack: duration, pace, fast_enough } = self.length;
        let alone = self.behaving.clone().run(pace, Instant::now() + quiet).await;
        let (began, end) = (Timestamp::now(), Instant::now() + duration);
        let beside = tokio::spawn(self.behaving.clone().run(pace, end));
        let (seen, chats) = Box::pin(attack(&self, end)).await;
        let beside = beside.await.expect("the behaving tenant sees no error");
        let period = Period { began, ended: Timestamp::now() };
        self.end_generations(&chats).await;
        let usage = self.usage(period).await;
        println!("{}: first token {beside:?} beside the attack, {alone:?} without; {usage}", self.name);
        let limit = (2 * alone).max(fast_enough);
        assert!(beside < limit, "first tokens beside the attack take {beside:?}, without it {alone:?}");
        usage.assert_one_event_at_a_time();
        (seen, usage)
    }

    /// Deletes chats, so that their generations end and free their environments.
    async fn end_generations(&self, chats: &[String]) {
        for chat in chats {
            let chat = ChatId::parse(chat).expect("a chat");
            self.stack.chats().delete(&self.attacker.id, &chat, Timestamp::now()).await.expect("DynamoDB responds");
        }
        let budgets = self.stack.budgets();
        eventually("the attacker's generations have ended", async || {
            budgets.status(&self.attacker.id, Timestamp::now()).await.expect("DynamoDB responds").running == 0
        })
        .await;
    }

    /// What the attacker used, once its last invocation has ended.
    async fn usage(&self, period: Period) -> Usage {
        let mut usage = Usage::default();
        let mut lines = usize::MAX;
        eventually("the attacker's invocations have ended", async || {
            usage = Usage::of_others(self.stack, &self.behaving.tenant, period);
            let is_over = usage.lines == lines;
            lines = usage.lines;
            tokio::time::sleep(Duration::from_millis(300)).await;
            is_over
        })
        .await;
        usage
    }
}

/// The code of an error event or response.
pub(super) fn code(event: &Value) -> &str {
    event["error"]["code"].as_str().unwrap_or_default()
}
