//! Deleting a tenant, once nothing else of it is left.

use super::repository::{KEY, TenantRepository, access_key};
use crate::{
    domain::{api_key::KeyHash, id::TenantId},
    storage::{
        error::StorageError,
        item::{text, text_of},
    },
};

impl TenantRepository {
    /// Deletes a tenant's keys, and last its access, by which it is found until then. Scans the table, since the access
    /// does not list a key whose addition broke off. May be repeated.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, tenant: &TenantId) -> Result<(), StorageError> {
        let scan = self
            .table
            .scan()
            .filter_expression("begins_with(pk, :keys) AND tenant_id = :tenant")
            .expression_attribute_values(":keys", text(KEY))
            .expression_attribute_values(":tenant", text(tenant))
            .consistent_read(true);
        let mut items = scan.into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            if let Some(hash) = text_of(&item, "pk").and_then(|pk| pk.strip_prefix(KEY)) {
                self.unclaim_key(&KeyHash::from_stored(hash), tenant).await?;
            }
        }
        self.table.delete(access_key(tenant)).send().await?;
        Ok(())
    }
}
