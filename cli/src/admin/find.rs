//! Tenants and keys by what operators call them.

use anyhow::{Result, anyhow, bail};
use shared::domain::api_key::KeyHash;
use shared::domain::tenant::{KeyRecord, TenantRecord};

use super::Admin;

impl Admin {
    /// The tenant with this id or, if there is none, the only one of this name.
    pub(crate) async fn tenant(&self, text: &str) -> Result<TenantRecord> {
        if let Some(tenant) = self.tenants.find(text).await? {
            return Ok(tenant);
        }
        let mut named = self.tenants.list().await?;
        named.retain(|tenant| tenant.access.name == text);
        match named.as_slice() {
            [_] => Ok(named.remove(0)),
            [] => bail!("there is no tenant {text:?}; `cargo chat tenant list` shows those that there are"),
            several => {
                let ids: Vec<&str> = several.iter().map(|tenant| tenant.tenant_id.as_str()).collect();
                bail!("{} tenants are named {text:?}; say which by its id: {}", ids.len(), ids.join(", "))
            }
        }
    }

    /// The tenant as it is now, which was there a moment ago.
    pub(crate) async fn again(&self, tenant: &TenantRecord) -> Result<TenantRecord> {
        self.tenant(tenant.tenant_id.as_str()).await
    }
}

/// The key of a tenant with this id.
pub(crate) fn key_of(tenant: &TenantRecord, key_id: &str) -> Result<(KeyHash, KeyRecord)> {
    live_key_of(tenant, key_id).ok_or_else(|| anyhow!("{}", no_key(tenant, key_id)))
}

/// The key of a tenant with this id; `None` when it is not there, as one that was revoked.
pub(crate) fn live_key_of(tenant: &TenantRecord, key_id: &str) -> Option<(KeyHash, KeyRecord)> {
    let found = tenant.access.keys().find(|(_, record)| record.key_id == key_id);
    found.map(|(hash, record)| (hash, record.clone()))
}

/// Says that a tenant has no such key.
pub(crate) fn no_key(tenant: &TenantRecord, key_id: &str) -> String {
    format!(
        "the tenant {} has no key {key_id:?} (any more); `cargo chat key list {}` shows those that it has",
        tenant.access.name, tenant.tenant_id
    )
}
