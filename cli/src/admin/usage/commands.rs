//! The command `chat usage`.

use std::{cmp::Reverse, process::ExitCode};

use anyhow::{Error, Result, anyhow, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use shared::{
    domain::{
        day::Day,
        error::ApiError,
        time::Timestamp,
        usage::{GroupBy, UsageRequest},
    },
    storage::{ModelUsage, USAGE_RETENTION_DAYS},
};

use super::{options::Options, prices::Prices, tenant_usage::TenantUsage, view};
use crate::{
    admin::session::{self, AdminSession},
    terminal::{Colour, SlowStep, Terminal},
};

/// How many tenants' usage is read concurrently.
const CONCURRENCY: usize = 16;
/// The step that is shown meanwhile.
const READING: &str = "Reading usage";

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { tenant, from, to, group_by, prices, deployment } = options;
    session::run(&deployment, async |admin| {
        let today = Day::of(Timestamp::now());
        let request = UsageRequest::new(from, to, group_by, today).map_err(refused_days)?;
        if prices.is_some() && request.group_by == GroupBy::User {
            bail!(
                "users have no costs: their counts do not say which models they used; pass --group-by day or model, or no \
                 --prices"
            );
        }
        let prices = prices.as_deref().map(Prices::read).transpose()?;
        warn_of_old_days(request, today, &admin.terminal);
        match tenant {
            Some(tenant) => show_tenant(admin, &tenant, request, prices.as_ref()).await,
            None => show_tenants(admin, request, prices.as_ref()).await,
        }
    })
}

async fn show_tenant(admin: &AdminSession, tenant: &str, request: UsageRequest, prices: Option<&Prices>) -> Result<()> {
    let step = SlowStep::new(&admin.terminal, READING);
    let usage = TenantUsage::read(admin, &admin.tenant(tenant).await?, request).await?;
    drop(step);
    let UsageRequest { from, to, .. } = request;
    let terminal = &admin.terminal;
    if usage.report.usage.is_empty() {
        terminal.line(format_args!("{} has no usage from {from} to {to}", usage.name));
    } else {
        let table = view::groups_table(&usage, prices, terminal);
        let name = terminal.paint(Colour::Bold, &usage.name);
        terminal.line(format_args!("Usage of {name} from {from} to {to}, in UTC\n\n{table}"));
    }
    warn_of_unpriced(prices, &usage.models, terminal);
    terminal.event(&view::tenant_json(&usage, prices)?);
    Ok(())
}

async fn show_tenants(admin: &AdminSession, request: UsageRequest, prices: Option<&Prices>) -> Result<()> {
    let mut step = SlowStep::new(&admin.terminal, READING);
    let tenants = admin.tenants.list().await?;
    let count = tenants.len();
    let mut reads = stream::iter(tenants)
        .map(async |tenant| TenantUsage::read(admin, &tenant, request).await)
        .buffer_unordered(CONCURRENCY);
    let mut usage = Vec::with_capacity(count);
    while let Some(read) = reads.try_next().await? {
        usage.push(read);
        step.progress(format!("{} of {count} tenants", usage.len()));
    }
    drop((reads, step));
    usage.sort_by(|a, b| {
        let key = |usage: &TenantUsage| Reverse(usage.report.total.tokens());
        (key(a), &a.name, &a.tenant_id).cmp(&(key(b), &b.name, &b.tenant_id))
    });
    let UsageRequest { from, to, .. } = request;
    let terminal = &admin.terminal;
    if usage.is_empty() {
        terminal.line("There are no tenants: create one with `cargo chat tenant create NAME`");
    } else {
        let table = view::tenants_table(&usage, prices, terminal);
        terminal.line(format_args!("Usage from {from} to {to}, in UTC\n\n{table}"));
    }
    warn_of_unpriced(prices, view::models(&usage), terminal);
    terminal.event(&view::tenants_json(&usage, request, prices)?);
    Ok(())
}

/// Explains days that cannot be requested.
fn refused_days(error: ApiError) -> Error {
    let text = |name| error.detail(name).and_then(Value::as_str).unwrap_or_default();
    anyhow!("--{} is {}: expected {}", text("field"), text("got"), text("allowed"))
}

fn warn_of_old_days(request: UsageRequest, today: Day, terminal: &Terminal) {
    let kept = today.minus(USAGE_RETENTION_DAYS);
    if request.from < kept {
        terminal.warning(format_args!("Usage before {kept} is incomplete: it is kept for {USAGE_RETENTION_DAYS} days"));
    }
}

fn warn_of_unpriced<'a>(prices: Option<&Prices>, usage: impl IntoIterator<Item = &'a ModelUsage>, terminal: &Terminal) {
    let unpriced = prices.map(|prices| prices.unpriced(usage)).unwrap_or_default();
    if !unpriced.is_empty() {
        let models: Vec<String> = unpriced.into_iter().map(view::model_name).collect();
        terminal.warning(format_args!("No price for {}: the costs are without them", models.join(", ")));
    }
}
