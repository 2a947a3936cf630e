//! Tenants that were refused a moment ago. Their next request is decided by a read: a write that is refused again costs
//! several times as much, and queues behind the tenant's other writes of the item.

use std::time::Duration;

use crate::{
    domain::{id::TenantId, time::Timestamp},
    runtime::cache::Cache,
};

/// How long a refusal is remembered.
const MEMORY: Duration = Duration::from_secs(5);

/// The refusals of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentRefusals(Cache<TenantId, Timestamp>);

impl RecentRefusals {
    pub(super) fn note(&self, tenant: &TenantId, now: Timestamp) {
        self.0.put(tenant.clone(), now);
    }

    pub(super) fn contains(&self, tenant: &TenantId, now: Timestamp) -> bool {
        self.0.get(tenant).is_some_and(|refused_at| refused_at.plus(MEMORY) > now)
    }
}
