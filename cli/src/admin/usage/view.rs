//! Usage, as JSON for programs and as tables for people.

use anyhow::Result;
use console::truncate_str;
use indicatif::HumanCount;
use serde_json::{Value, json};
use shared::{
    domain::usage::{GroupBy, UsageCounts, UsageGroup, UsageRequest},
    storage::ModelUsage,
};

use super::{
    prices::{Amount, Prices},
    tenant_usage::TenantUsage,
};
use crate::{
    table::render_numbers,
    terminal::{Colour, Terminal},
};

/// The width of a model's name, which can have 256 characters.
const MAX_MODEL_WIDTH: usize = 60;

/// A row of a table.
struct Row {
    labels: Vec<String>,
    counts: UsageCounts,
    cost: Option<Amount>,
}

/// The usage of a tenant as `GET /api/v1/usage` returns it, with the tenant, and with costs if there are prices.
pub(super) fn tenant_json(usage: &TenantUsage, prices: Option<&Prices>) -> Result<Value> {
    let mut json = serde_json::to_value(&usage.report)?;
    json["tenant_id"] = json!(usage.tenant_id);
    json["name"] = json!(usage.name);
    if let Some(prices) = prices {
        json["total"]["cost"] = cost_json(prices.cost(&usage.models));
        json["unpriced_models"] = json!(prices.unpriced(&usage.models));
        let groups = json["usage"].as_array_mut().into_iter().flatten();
        for (json, group) in groups.zip(&usage.report.usage) {
            json["cost"] = cost_json(usage.cost_of(group, prices));
        }
    }
    Ok(json)
}

/// The usage of all tenants, with their sum.
pub(super) fn tenants_json(tenants: &[TenantUsage], request: UsageRequest, prices: Option<&Prices>) -> Result<Value> {
    let mut json = json!({"from": request.from, "to": request.to, "total": total(tenants)});
    if let Some(prices) = prices {
        json["total"]["cost"] = cost_json(prices.cost(models(tenants)));
        json["unpriced_models"] = json!(prices.unpriced(models(tenants)));
    }
    json["tenants"] = tenants.iter().map(|usage| tenant_json(usage, prices)).collect::<Result<_>>()?;
    Ok(json)
}

/// A table with a row for each group of a tenant's usage.
pub(super) fn groups_table(usage: &TenantUsage, prices: Option<&Prices>, terminal: &Terminal) -> String {
    let report = &usage.report;
    let rows = report.usage.iter().map(|group| Row {
        labels: vec![label(group)],
        counts: group.counts,
        cost: prices.and_then(|prices| usage.cost_of(group, prices)),
    });
    let cost = prices.and_then(|prices| prices.cost(&usage.models));
    let total = Row { labels: vec!["Total".to_owned()], counts: report.total, cost };
    let title = match report.group_by {
        GroupBy::Day => "DAY",
        GroupBy::Model => "MODEL",
        GroupBy::User => "USER",
    };
    table(&[title], rows.collect(), total, prices.is_some(), terminal)
}

/// A table with a row for each tenant.
pub(super) fn tenants_table(tenants: &[TenantUsage], prices: Option<&Prices>, terminal: &Terminal) -> String {
    let rows = tenants.iter().map(|usage| Row {
        labels: vec![usage.tenant_id.to_string(), terminal.paint(Colour::Bold, &usage.name)],
        counts: usage.report.total,
        cost: prices.and_then(|prices| prices.cost(&usage.models)),
    });
    let cost = prices.and_then(|prices| prices.cost(models(tenants)));
    let total = Row { labels: vec!["Total".to_owned(), String::new()], counts: total(tenants), cost };
    table(&["TENANT", "NAME"], rows.collect(), total, prices.is_some(), terminal)
}

/// The models of all tenants' usage.
pub(super) fn models(tenants: &[TenantUsage]) -> impl Iterator<Item = &ModelUsage> {
    tenants.iter().flat_map(|usage| &usage.models)
}

/// A model's name for a terminal: clients choose names for the echo agent, so they may contain escape sequences.
pub(super) fn model_name(model: &str) -> String {
    let printable: String =
        model.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect();
    truncate_str(&printable, MAX_MODEL_WIDTH, "…").into_owned()
}

fn total(tenants: &[TenantUsage]) -> UsageCounts {
    tenants.iter().map(|usage| usage.report.total).sum()
}

fn cost_json(cost: Option<Amount>) -> Value {
    cost.map_or(Value::Null, Amount::to_json)
}

fn label(UsageGroup { day, model, user_id, .. }: &UsageGroup) -> String {
    let model = model.as_deref().map(model_name);
    let user = user_id.as_ref().map(ToString::to_string);
    day.map(|day| day.to_string()).or(model).or(user).unwrap_or_default()
}

fn table(labels: &[&str], rows: Vec<Row>, total: Row, has_costs: bool, terminal: &Terminal) -> String {
    let mut titles = [labels, &["MESSAGES", "GENERATIONS", "INPUT TOKENS", "OUTPUT TOKENS"]].concat();
    if has_costs {
        titles.push("COST");
    }
    let cells = |Row { labels, counts, cost }: Row| {
        let UsageCounts { messages, generations, input_tokens, output_tokens, .. } = counts;
        let counts = [messages, generations, input_tokens, output_tokens].map(|count| HumanCount(count).to_string());
        let cost = has_costs.then(|| cost.map_or_else(|| "–".to_owned(), |cost| cost.to_string()));
        labels.into_iter().chain(counts).chain(cost).collect::<Vec<_>>()
    };
    let total = cells(total).into_iter().map(|cell| terminal.paint(Colour::Bold, cell)).collect();
    let rows = rows.into_iter().map(cells).chain([total]).collect();
    render_numbers(&titles, labels.len(), rows, terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_name_cannot_control_the_terminal() {
        assert_eq!(model_name("gpt-5"), "gpt-5");
        assert_eq!(model_name("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(model_name(&"x".repeat(256)), format!("{}…", "x".repeat(59)));
    }
}
