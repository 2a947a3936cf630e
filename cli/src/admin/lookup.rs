//! Finds tenants and keys by what operators type.

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use shared::domain::{
    api_key::KeyHash,
    tenant::{KeyRecord, TenantRecord},
    time::Timestamp,
};

use super::{session::AdminSession, view};

impl AdminSession {
    /// The tenant with this id, or else the only tenant with this name.
    pub(super) async fn tenant(&self, text: &str) -> Result<TenantRecord> {
        if let Some(tenant) = self.tenants.find(text).await? {
            return Ok(tenant);
        }
        let mut named = self.tenants.list().await?;
        named.retain(|tenant| tenant.access.name == text);
        match named.as_slice() {
            [_] => Ok(named.remove(0)),
            [] => bail!("there is no tenant {text:?}: list the tenants with `cargo chat tenant list`"),
            several => {
                let ids: Vec<&str> = several.iter().map(|tenant| tenant.tenant_id.as_str()).collect();
                bail!("{} tenants are named {text:?}: pass the id of one of them: {}", ids.len(), ids.join(", "))
            }
        }
    }

    /// The current record of a tenant.
    pub(super) async fn reload(&self, tenant: &TenantRecord) -> Result<TenantRecord> {
        self.tenant(tenant.tenant_id.as_str()).await
    }

    /// A tenant as JSON.
    pub(super) async fn tenant_json(&self, tenant: &TenantRecord) -> Result<Value> {
        Ok(view::tenant_json(tenant, self.current_use(tenant).await?, Timestamp::now()))
    }
}

/// The key of a tenant with this id; `None` if it never existed or was revoked.
pub(super) fn find_key(tenant: &TenantRecord, key_id: &str) -> Option<(KeyHash, KeyRecord)> {
    let found = tenant.access.keys().find(|(_, record)| record.key_id == key_id);
    found.map(|(hash, record)| (hash, record.clone()))
}

/// The key of a tenant with this id.
pub(super) fn require_key(tenant: &TenantRecord, key_id: &str) -> Result<(KeyHash, KeyRecord)> {
    find_key(tenant, key_id).ok_or_else(|| anyhow!(unknown_key(tenant, key_id)))
}

/// The message for a key that does not exist.
pub(super) fn unknown_key(tenant: &TenantRecord, key_id: &str) -> String {
    format!(
        "the tenant {} has no key {key_id:?}, or no longer: list its keys with `cargo chat key list {}`",
        tenant.access.name, tenant.tenant_id
    )
}
