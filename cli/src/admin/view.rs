//! Tenants and keys, as JSON for programs and as text for people.

use serde_json::{Value, json};
use shared::domain::{
    budget::{BudgetOverrides, TokenQuota},
    chat::ChatConfig,
    limits::Limits,
    tenant::{KeyRecord, TenantAccess, TenantRecord, TenantStatus},
    time::Timestamp,
};

use super::session::CurrentUse;
use crate::{
    table::render,
    terminal::{Colour, Terminal},
};

/// A tenant, with what it uses now, as JSON. A limit that is null is the deployment's.
pub(super) fn tenant_json(tenant: &TenantRecord, current: CurrentUse, now: Timestamp) -> Value {
    let access = &tenant.access;
    json!({
        "tenant_id": tenant.tenant_id,
        "name": access.name,
        "status": access.status,
        "limits": limits_json(&access.limits, current.budget.limits),
        "defaults": defaults_json(&access.defaults),
        "allowed_agents": access.allowed_agents,
        "allowed_models": access.allowed_models,
        "retention_days": access.retention_days,
        "connections": current.connections,
        "generations": current.budget.running,
        "tokens_of_day": current.budget.tokens_of_day,
        "tokens_of_month": current.budget.tokens_of_month,
        "keys": keys_json(tenant, now),
        "created_at": access.created_at,
    })
}

/// The keys of a tenant as JSON, oldest first.
pub(super) fn keys_json(tenant: &TenantRecord, now: Timestamp) -> Value {
    oldest_first(tenant).into_iter().map(|record| key_json(record, now)).collect()
}

/// A key as JSON, without its text, which is not stored.
pub(super) fn key_json(record: &KeyRecord, now: Timestamp) -> Value {
    let status = if is_live(record, now) { "live" } else { "expired" };
    json!({
        "key_id": record.key_id,
        "status": status,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    })
}

/// How many keys of a tenant have not expired.
pub(super) fn live_keys(tenant: &TenantRecord, now: Timestamp) -> usize {
    tenant.access.keys().filter(|(_, record)| is_live(record, now)).count()
}

/// A table of tenants, each with what it uses now.
pub(super) fn tenants_table(tenants: &[(TenantRecord, CurrentUse)], now: Timestamp, terminal: &Terminal) -> String {
    let rows = tenants.iter().map(|(tenant, current)| {
        let access = &tenant.access;
        [
            tenant.tenant_id.to_string(),
            terminal.paint(Colour::Bold, &access.name),
            status(access.status, terminal),
            live_keys(tenant, now).to_string(),
            format!("{} of {}", current.connections, access.limits.connections),
            current.budget.running.to_string(),
            minute(access.created_at),
        ]
    });
    render(["TENANT", "NAME", "STATUS", "LIVE KEYS", "CONNECTIONS", "GENERATIONS", "CREATED"], rows.collect(), terminal)
}

/// A table of a tenant's keys, oldest first.
pub(super) fn keys_table(tenant: &TenantRecord, now: Timestamp, terminal: &Terminal) -> String {
    let rows = oldest_first(tenant).into_iter().map(|record| {
        let (status, colour) = if is_live(record, now) { ("live", Colour::Green) } else { ("expired", Colour::Dim) };
        [
            terminal.paint(Colour::Bold, &record.key_id),
            terminal.paint(colour, status),
            minute(record.created_at),
            record.expires_at.map_or_else(|| "never".to_owned(), minute),
        ]
    });
    render(["KEY", "STATUS", "CREATED", "EXPIRES"], rows.collect(), terminal)
}

/// A tenant with what it uses now, without its keys, one line a property.
pub(super) fn tenant_lines(tenant: &TenantRecord, current: CurrentUse, terminal: &Terminal) -> String {
    let access = &tenant.access;
    let rows = [
        ("Name", terminal.paint(Colour::Bold, &access.name)),
        ("Status", status(access.status, terminal)),
        ("Limits", limits(&access.limits, current.budget.limits)),
        ("Connections", format!("{} open", current.connections)),
        ("Generations", format!("{} running", current.budget.running)),
        ("Tokens", format!("{} today, {} this month", current.budget.tokens_of_day, current.budget.tokens_of_month)),
        ("Defaults", defaults(&access.defaults)),
        ("Chats may use", models(access)),
        ("Chats kept", retention(access.retention_days)),
        ("Created", minute(access.created_at)),
    ];
    let rows = rows.map(|(label, text)| [terminal.paint(Colour::Dim, label), text]).into();
    render(["Tenant", tenant.tenant_id.as_str()], rows, terminal)
}

/// Limits as text. Of those that the deployment sets, the ones that the tenant has of its own.
pub(super) fn limits(limits: &Limits, budget: BudgetOverrides) -> String {
    let mut text = format!(
        "{} REST requests and {} tickets a minute, {} connections",
        limits.rest_per_minute, limits.tickets_per_minute, limits.connections
    );
    if let Some(per_chat) = limits.connections_per_chat {
        text += &format!(", {per_chat} of them in one chat");
    }
    if let Some(connects) = limits.connects_per_minute {
        text += &format!(", {connects} connects a minute");
    }
    if let Some(generations) = budget.generations {
        text += &format!(", {generations} generations");
    }
    if let Some(messages) = budget.messages_per_minute {
        text += &format!(", {messages} messages a minute");
    }
    for (quota, period) in [(budget.tokens_per_day, "day"), (budget.tokens_per_month, "month")] {
        match quota.map(TokenQuota::limit) {
            Some(Some(tokens)) => text += &format!(", {tokens} tokens a {period}"),
            Some(None) => text += &format!(", no quota of tokens a {period}"),
            None => {}
        }
    }
    text
}

fn limits_json(limits: &Limits, budget: BudgetOverrides) -> Value {
    json!({
        "rest_per_minute": limits.rest_per_minute,
        "tickets_per_minute": limits.tickets_per_minute,
        "connections": limits.connections,
        "connects_per_minute": limits.connects_per_minute,
        "connections_per_chat": limits.connections_per_chat,
        "generations": budget.generations,
        "messages_per_minute": budget.messages_per_minute,
        "tokens_per_day": budget.tokens_per_day.map(quota_json),
        "tokens_per_month": budget.tokens_per_month.map(quota_json),
    })
}

/// A quota: a number, or `none`.
fn quota_json(quota: TokenQuota) -> Value {
    quota.limit().map_or_else(|| quota.to_string().into(), Value::from)
}

/// What a tenant's chats may use, as text.
pub(super) fn models(access: &TenantAccess) -> String {
    let agents = access.allowed_agents.as_ref().map_or_else(
        || "all agents".to_owned(),
        |agents| format!("the agents {}", agents.iter().map(|agent| agent.as_str()).collect::<Vec<_>>().join(", ")),
    );
    let models = access.allowed_models.as_ref().map_or_else(
        || "all models".to_owned(),
        |models| format!("the models {}", models.iter().collect::<Vec<_>>().join(", ")),
    );
    format!("{agents} and {models} of the deployment")
}

/// How long chats are kept, as text.
pub(super) fn retention(retention_days: Option<u32>) -> String {
    match retention_days {
        None => "for ever".to_owned(),
        Some(1) => "1 day after their last message".to_owned(),
        Some(days) => format!("{days} days after their last message"),
    }
}

/// A time as text, to the minute.
pub(super) fn minute(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..16).map_or_else(|| text.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

/// A tenant's defaults as JSON, without the system prompt, which a tenant does not have.
fn defaults_json(defaults: &ChatConfig) -> Value {
    let ChatConfig { agent, model, temperature, max_tokens, .. } = defaults;
    json!({"agent": agent, "model": model, "temperature": temperature, "max_tokens": max_tokens})
}

fn defaults(config: &ChatConfig) -> String {
    let Value::Object(values) = defaults_json(config) else { return String::new() };
    let chosen: Vec<String> = values
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    if chosen.is_empty() { "the deployment's".to_owned() } else { chosen.join(", ") }
}

fn status(status: TenantStatus, terminal: &Terminal) -> String {
    match status {
        TenantStatus::Active => terminal.paint(Colour::Green, "active"),
        TenantStatus::Suspended => terminal.paint(Colour::Red, "suspended"),
    }
}

fn is_live(record: &KeyRecord, now: Timestamp) -> bool {
    record.expires_at.is_none_or(|expires_at| expires_at > now)
}

fn oldest_first(tenant: &TenantRecord) -> Vec<&KeyRecord> {
    let mut keys: Vec<&KeyRecord> = tenant.access.keys().map(|(_, record)| record).collect();
    keys.sort_by(|a, b| (a.created_at, &a.key_id).cmp(&(b.created_at, &b.key_id)));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_minute() {
        assert_eq!(minute(Timestamp::from_millis(1_769_851_800_120)), "2026-01-31 09:30 UTC");
    }

    #[test]
    fn only_chosen_defaults_are_shown() {
        assert_eq!(defaults(&ChatConfig::default()), "the deployment's");
        let agent = shared::domain::agent_name::AgentName::parse("echo");
        assert_eq!(defaults(&ChatConfig { agent, ..ChatConfig::default() }), "agent echo");
    }

    #[test]
    fn key_is_live_until_it_expires() {
        let (then, now) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        let record = |expires_at| KeyRecord { key_id: "key_1".to_owned(), created_at: then, expires_at };
        assert_eq!(key_json(&record(None), now)["status"], "live");
        assert_eq!(key_json(&record(Some(now)), now)["status"], "expired");
        assert_eq!(key_json(&record(Some(now)), then)["status"], "live");
    }
}
