//! Removing a tenant, once nothing else of it is left.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Tenants, access_pk};
use crate::{
    domain::{api_key::KeyHash, id::TenantId},
    storage::StorageError,
};

impl Tenants {
    /// Removes a tenant's keys, also those that somebody only half made, and last its gate: as long as that is there, the
    /// tenant is found by its name. By a scan of the table, since it is not known whose a half-made key is.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer. It can be done again.
    pub async fn erase(&self, tenant: &TenantId) -> Result<(), StorageError> {
        let scan = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("begins_with(pk, :keys) AND tenant_id = :tenant")
            .expression_attribute_values(":keys", AttributeValue::S("key#".to_owned()))
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_string()))
            .consistent_read(true);
        let mut keys = scan.into_paginator().items().send();
        while let Some(key) = keys.try_next().await? {
            let hash = key.get("pk").and_then(|pk| pk.as_s().ok()?.strip_prefix("key#"));
            if let Some(hash) = hash {
                self.disclaim_key(&KeyHash::from_stored(hash), tenant).await?;
            }
        }
        self.client
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(access_pk(tenant)))
            .send()
            .await?;
        Ok(())
    }
}
