//! Tenants and keys, as programs and as people read them.

use serde_json::{Value, json};
use shared::domain::chat::ChatConfig;
use shared::domain::limits::Limits;
use shared::domain::tenant::{KeyRecord, TenantRecord, TenantStatus};
use shared::domain::time::Timestamp;

use crate::table::{Cell, render};
use crate::terminal::{Colour, Terminal};

/// A tenant with so many connections open, for programs.
pub(crate) fn tenant(tenant: &TenantRecord, connections: usize, now: Timestamp) -> Value {
    let access = &tenant.access;
    json!({
        "tenant_id": tenant.tenant_id,
        "name": access.name,
        "status": access.status,
        "limits": access.limits,
        "defaults": defaults(&access.defaults),
        "retention_days": access.retention_days,
        "connections": connections,
        "keys": keys(tenant, now),
        "created_at": access.created_at,
    })
}

/// The keys of a tenant for programs, oldest first.
pub(crate) fn keys(tenant: &TenantRecord, now: Timestamp) -> Value {
    in_order(tenant).into_iter().map(|record| key(record, now)).collect()
}

/// A key for programs. Nobody can show its text again.
pub(crate) fn key(record: &KeyRecord, now: Timestamp) -> Value {
    let status = if is_live(record, now) { "live" } else { "expired" };
    json!({
        "key_id": record.key_id,
        "status": status,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    })
}

/// How many keys open the tenant's gate.
pub(crate) fn live_keys(tenant: &TenantRecord, now: Timestamp) -> usize {
    tenant.access.keys().filter(|(_, record)| is_live(record, now)).count()
}

/// Tenants, each with so many connections open, for people.
pub(crate) fn tenants_table(tenants: &[(TenantRecord, usize)], now: Timestamp, terminal: &Terminal) -> String {
    let rows = tenants.iter().map(|(tenant, connections)| {
        let access = &tenant.access;
        [
            Cell::new(tenant.tenant_id.as_str()),
            Cell::coloured(&access.name, Colour::Bold),
            status_cell(access.status),
            Cell::new(live_keys(tenant, now).to_string()),
            Cell::new(format!("{connections} of {}", access.limits.connections)),
            Cell::new(when(access.created_at)),
        ]
    });
    render(["TENANT", "NAME", "STATUS", "LIVE KEYS", "CONNECTIONS", "CREATED"], rows.collect(), terminal)
}

/// The keys of a tenant for people, oldest first.
pub(crate) fn keys_table(tenant: &TenantRecord, now: Timestamp, terminal: &Terminal) -> String {
    let rows = in_order(tenant).into_iter().map(|record| {
        let status = if is_live(record, now) { ("live", Colour::Green) } else { ("expired", Colour::Dim) };
        let expires = record.expires_at.map_or_else(|| "never".to_owned(), when);
        [
            Cell::coloured(&record.key_id, Colour::Bold),
            Cell::coloured(status.0, status.1),
            Cell::new(when(record.created_at)),
            Cell::new(expires),
        ]
    });
    render(["KEY", "STATUS", "CREATED", "EXPIRES"], rows.collect(), terminal)
}

/// A tenant with so many connections open, without its keys, for people.
pub(crate) fn tenant_lines(tenant: &TenantRecord, connections: usize, terminal: &Terminal) -> String {
    let access = &tenant.access;
    let status = status_cell(access.status);
    let rows = vec![
        [label("Name"), Cell::coloured(&access.name, Colour::Bold)],
        [label("Status"), status],
        [label("Limits"), Cell::new(limits(&access.limits))],
        [label("Open now"), Cell::new(format!("{connections} connections"))],
        [label("Defaults"), Cell::new(defaults_text(&access.defaults))],
        [label("Chats kept"), Cell::new(kept(access.retention_days))],
        [label("Created"), Cell::new(when(access.created_at))],
    ];
    render([("Tenant"), tenant.tenant_id.as_str()], rows, terminal)
}

/// Limits for people.
pub(crate) fn limits(limits: &Limits) -> String {
    format!(
        "{} REST requests and {} tickets a minute, {} connections",
        limits.rest_per_minute, limits.tickets_per_minute, limits.connections
    )
}

/// For people, how long chats are kept.
pub(crate) fn kept(retention_days: Option<u32>) -> String {
    match retention_days {
        None => "for ever".to_owned(),
        Some(1) => "1 day after their last message".to_owned(),
        Some(days) => format!("{days} days after their last message"),
    }
}

/// A time for people.
pub(crate) fn when(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..16).map_or_else(|| text.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

/// A tenant has no system prompt of its own, so none is shown.
fn defaults(defaults: &ChatConfig) -> Value {
    let ChatConfig { agent, model, temperature, max_tokens, .. } = defaults;
    json!({"agent": agent, "model": model, "temperature": temperature, "max_tokens": max_tokens})
}

fn defaults_text(config: &ChatConfig) -> String {
    let Value::Object(values) = defaults(config) else { return String::new() };
    let chosen: Vec<String> = values
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    if chosen.is_empty() { "those of the service".to_owned() } else { chosen.join(", ") }
}

fn label(text: &str) -> Cell {
    Cell::coloured(text, Colour::Dim)
}

fn status_cell(status: TenantStatus) -> Cell {
    match status {
        TenantStatus::Active => Cell::coloured("active", Colour::Green),
        TenantStatus::Suspended => Cell::coloured("suspended", Colour::Red),
    }
}

fn is_live(record: &KeyRecord, now: Timestamp) -> bool {
    record.expires_at.is_none_or(|expires_at| expires_at > now)
}

fn in_order(tenant: &TenantRecord) -> Vec<&KeyRecord> {
    let mut keys: Vec<&KeyRecord> = tenant.access.keys().map(|(_, record)| record).collect();
    keys.sort_by(|a, b| (a.created_at, &a.key_id).cmp(&(b.created_at, &b.key_id)));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_need_no_seconds() {
        assert_eq!(when(Timestamp::from_millis(1_769_851_800_120)), "2026-01-31 09:30 UTC");
    }

    #[test]
    fn only_chosen_defaults_are_told() {
        assert_eq!(defaults_text(&ChatConfig::default()), "those of the service");
        let agent = shared::domain::agent_name::AgentName::parse("echo");
        assert_eq!(defaults_text(&ChatConfig { agent, ..ChatConfig::default() }), "agent echo");
    }

    #[test]
    fn a_key_lives_until_it_expires() {
        let (then, now) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        let record = |expires_at| KeyRecord { key_id: "key_1".to_owned(), created_at: then, expires_at };
        assert_eq!(key(&record(None), now)["status"], "live");
        assert_eq!(key(&record(Some(now)), now)["status"], "expired");
        assert_eq!(key(&record(Some(now)), then)["status"], "live");
    }
}
