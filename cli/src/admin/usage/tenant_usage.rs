//! The usage of one tenant, as it is stored.

use anyhow::{Context, Result};
use shared::{
    domain::{
        id::TenantId,
        tenant::TenantRecord,
        usage::{GroupBy, UsageGroup, UsageKey, UsageReport, UsageRequest},
    },
    storage::ModelUsage,
};

use super::prices::{Amount, Prices};
use crate::admin::session::AdminSession;

/// How many items are read for a tenant, in some hundred megabytes of memory: thousands of users a day for a month.
const MAX_ITEMS: usize = 1_000_000;

/// The usage of a tenant.
#[derive(Debug)]
pub(super) struct TenantUsage {
    pub(super) tenant_id: TenantId,
    pub(super) name: String,
    pub(super) report: UsageReport,
    /// The counts by day and model, in parts; empty if the report is grouped by user.
    pub(super) models: Vec<ModelUsage>,
}

impl TenantUsage {
    /// Reads the usage of a tenant.
    pub(super) async fn read(admin: &AdminSession, tenant: &TenantRecord, request: UsageRequest) -> Result<Self> {
        let UsageRequest { from, to, group_by } = request;
        let id = &tenant.tenant_id;
        let too_much = || format!("the tenant {id} has too much usage from {from} to {to}: pass fewer days");
        let (report, models) = if group_by == GroupBy::User {
            let users = admin.usage.by_user(id, from, to, MAX_ITEMS).await?.with_context(too_much)?;
            let counts = users.into_iter().map(|user| (UsageKey::User(user.user_id), user.counts));
            (UsageReport::of(request, counts), Vec::new())
        } else {
            let models = admin.usage.by_model(id, from, to, MAX_ITEMS).await?.with_context(too_much)?;
            let key = |usage: &ModelUsage| match group_by {
                GroupBy::Model => UsageKey::Model(usage.model.clone()),
                _ => UsageKey::Day(usage.day),
            };
            (UsageReport::of(request, models.iter().map(|usage| (key(usage), usage.counts))), models)
        };
        Ok(Self { tenant_id: id.clone(), name: tenant.access.name.clone(), report, models })
    }

    /// What a group of the report costs.
    pub(super) fn cost_of(&self, group: &UsageGroup, prices: &Prices) -> Option<Amount> {
        prices.cost(self.models.iter().filter(|usage| match (group.day, &group.model) {
            (Some(day), _) => usage.day == day,
            (None, model) => model.as_ref() == Some(&usage.model),
        }))
    }
}
