//! What an attacker used, from the log lines of the functions: environments, DynamoDB calls and units, posts.

use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter},
    time::Duration,
};

use serde_json::Value;
use shared::domain::time::Timestamp;
use tests::{Stack, Tenant};

/// How much the times of log lines may differ from those of their events on a slow machine.
const TOLERANCE_MS: i64 = 100;

/// A period of an experiment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
}

/// What everyone but one tenant used in a period. Requests that no tenant could be found for count too.
#[derive(Debug, Default)]
pub(super) struct Usage {
    invocations: Vec<Invocation>,
    /// Log lines.
    pub(super) lines: usize,
    /// Capacity units that DynamoDB reported, which are none for a write whose condition failed.
    pub(super) read_units: f64,
    pub(super) write_units: f64,
    /// Calls of DynamoDB.
    pub(super) calls: f64,
    /// Posts that sockets received.
    pub(super) posts: f64,
    seconds: f64,
}

/// One event in an environment, with its work after the response.
#[derive(Clone, Debug)]
pub(super) struct Invocation {
    process: (String, usize),
    /// Milliseconds since the epoch.
    began: i64,
    ended: i64,
    /// As the log lines have it; the error code of a refused one.
    pub(super) code: String,
    /// Whether it ran a generation.
    pub(super) generates: bool,
    pub(super) read_units: f64,
    pub(super) calls: f64,
}

impl Usage {
    /// What everyone but `tenant` used in the period.
    pub(super) fn of_others(stack: &Stack, tenant: &Tenant, period: Period) -> Self {
        let mut usage = Self { seconds: period.ended.millis_since(period.began) as f64 / 1e3, ..Self::default() };
        for function in stack.functions().into_iter().filter(|function| *function != "maintenance") {
            for (number, lines) in stack.process_logs(function).into_iter().enumerate() {
                let of_others = lines.iter().filter(|line| line["tenant_id"] != tenant.id.as_str());
                usage.add((function.to_owned(), number), of_others, period);
            }
        }
        usage
    }

    fn add<'l>(&mut self, process: (String, usize), lines: impl Iterator<Item = &'l Value>, period: Period) {
        let mut invocations: BTreeMap<&str, Invocation> = BTreeMap::new();
        for line in lines {
            // Lines without a duration belong to those that have one.
            let Some(duration) = line["duration_ms"].as_f64() else { continue };
            let at = line["timestamp"].as_str().and_then(|at| at.parse().ok()).map(Timestamp::as_millis);
            let ended = at.expect("lines have a time");
            let began = ended - duration as i64;
            if began < period.began.as_millis() || began > period.ended.as_millis() {
                continue;
            }
            let number = |name: &str| line[name].as_f64().unwrap_or_default();
            self.lines += 1;
            self.read_units += number("dynamodb.read_units");
            self.write_units += number("dynamodb.write_units");
            self.calls += number("dynamodb.calls");
            self.posts += number("frames");
            let invocation = invocations.entry(line["request_id"].as_str().unwrap_or_default());
            let new = || Invocation {
                process: process.clone(),
                began,
                ended,
                code: String::new(),
                generates: false,
                read_units: 0.0,
                calls: 0.0,
            };
            let invocation = invocation.or_insert_with(new);
            invocation.began = invocation.began.min(began);
            invocation.ended = invocation.ended.max(ended);
            invocation.generates |= line["message"] == "generation ended";
            invocation.read_units += number("dynamodb.read_units");
            invocation.calls += number("dynamodb.calls");
            if let Some(code) = line["error.code"].as_str() {
                invocation.code = code.to_owned();
            }
        }
        self.invocations.extend(invocations.into_values());
    }

    /// The invocations of a function.
    pub(super) fn invocations(&self, function: &str) -> impl Iterator<Item = &Invocation> {
        self.invocations.iter().filter(move |invocation| invocation.process.0 == function)
    }

    /// The most environments of a function that were held at once.
    fn environments(&self, function: &str) -> usize {
        most_at_once(self.invocations(function))
    }

    /// How many environments of a function were held on average. Unlike the most at once, this does not depend on when a
    /// busy machine runs which process.
    pub(super) fn average_environments(&self, function: &str) -> f64 {
        let held: Duration = self.invocations(function).map(Invocation::duration).sum();
        held.as_secs_f64() / self.seconds
    }

    /// The most environments that generations held at once.
    pub(super) fn generations(&self) -> usize {
        most_at_once(self.invocations("ws-message").filter(|invocation| invocation.generates))
    }

    /// Asserts that at most this many environments of a function were held at once.
    pub(super) fn assert_environments(&self, function: &str, most: usize) {
        let held = self.environments(function);
        assert!(held <= most, "{held} environments of {function} were held at once, not {most}");
    }

    /// Asserts that no process took an event before its work was done: else a process would be no environment.
    pub(super) fn assert_one_event_at_a_time(&self) {
        let mut invocations: Vec<&Invocation> = self.invocations.iter().collect();
        invocations.sort_by(|one, other| (&one.process, one.began).cmp(&(&other.process, other.began)));
        for pair in invocations.windows(2).filter(|pair| pair[0].process == pair[1].process) {
            let (after, before) = (pair[1].began - pair[0].began, pair[0].ended - pair[1].began);
            assert!(after.min(before) <= TOLERANCE_MS, "a process took an event too early: {pair:#?}");
        }
    }
}

impl Invocation {
    /// How long it held its environment.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.ended - self.began).unwrap_or_default())
    }
}

fn most_at_once<'i>(invocations: impl Iterator<Item = &'i Invocation>) -> usize {
    // An end sorts before a start at the same time.
    let mut changes: Vec<(i64, i64)> =
        invocations.flat_map(|invocation| [(invocation.began, 1), (invocation.ended, -1)]).collect();
    changes.sort_unstable();
    let (mut held, mut most) = (0, 0);
    for (_, change) in changes {
        held += change;
        most = most.max(held);
    }
    usize::try_from(most).unwrap_or_default()
}

impl Display for Usage {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let mut functions: BTreeMap<&str, (usize, i64)> = BTreeMap::new();
        for Invocation { process, began, ended, .. } in &self.invocations {
            let (count, held) = functions.entry(&process.0).or_default();
            (*count, *held) = (*count + 1, *held + ended - began);
        }
        write!(f, "in {:.1} s", self.seconds)?;
        for (function, (count, held)) in functions {
            let (most, held) = (self.environments(function), held as f64 / 1e3);
            write!(f, "; {function}: {count} invocations, {most} environments at once, {held:.1} s in all")?;
        }
        let Self { read_units, write_units, calls, posts, .. } = self;
        write!(f, "; DynamoDB: {read_units:.0} read and {write_units:.0} write units, {calls} calls; {posts} posts")
    }
}
