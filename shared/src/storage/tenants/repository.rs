//! The repository of tenants, and reads.

use aws_sdk_dynamodb::{Client, operation::update_item::builders::UpdateItemFluentBuilder};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        api_key::KeyHash,
        id::TenantId,
        tenant::{TenantAccess, TenantRecord},
    },
    storage::{
        error::StorageError,
        item::{self, Item, text, text_of},
        table::{Key, Table},
    },
};

/// What the keys of access items begin with.
const ACCESS: &str = "tenant#";
/// What the keys of key owners begin with.
pub(super) const KEY: &str = "key#";

/// The tenants of the service.
#[derive(Clone, Debug)]
pub struct TenantRepository {
    pub(super) table: Table,
}

/// Whose a key is.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyOwner {
    #[serde(deserialize_with = "TenantId::deserialize_row")]
    pub(super) tenant_id: TenantId,
}

impl TenantRepository {
    /// The tenants in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self { table: Table::new(client, table_name) }
    }

    /// Reads whose a key is, or was: only the tenant's access says whether it is live.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn owner_of(&self, key: &KeyHash) -> Result<Option<TenantId>, StorageError> {
        let owner: Option<KeyOwner> = self.table.get_as(owner_key(key)).await?;
        Ok(owner.map(|owner| owner.tenant_id))
    }

    /// Reads a tenant's access.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn access(&self, tenant: &TenantId) -> Result<Option<TenantAccess>, StorageError> {
        self.table.get_as(access_key(tenant)).await
    }

    /// Finds a tenant by the text of its id.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn find(&self, id: &str) -> Result<Option<TenantRecord>, StorageError> {
        let Some(tenant_id) = TenantId::from_row(id) else { return Ok(None) };
        Ok(self.access(&tenant_id).await?.map(|access| TenantRecord { tenant_id, access }))
    }

    /// Lists all tenants, oldest first, with a scan of the table.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list(&self) -> Result<Vec<TenantRecord>, StorageError> {
        let scan = self
            .table
            .scan()
            .filter_expression("begins_with(pk, :access)")
            .expression_attribute_values(":access", text(ACCESS));
        let mut tenants = Vec::new();
        let mut items = scan.into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            if let Some(tenant_id) = tenant_of(&item) {
                tenants.push(TenantRecord { tenant_id, access: item::from_item(item)? });
            }
        }
        tenants.sort_by_key(|tenant| tenant.access.created_at);
        Ok(tenants)
    }

    pub(super) fn update_access(&self, tenant: &TenantId) -> UpdateItemFluentBuilder {
        self.table.update(access_key(tenant))
    }
}

pub(super) fn owner_key(key: &KeyHash) -> Key {
    Key::partition(format!("{KEY}{}", key.as_str()))
}

pub(super) fn access_pk(tenant: &TenantId) -> String {
    format!("{ACCESS}{tenant}")
}

pub(super) fn access_key(tenant: &TenantId) -> Key {
    Key::partition(access_pk(tenant))
}

/// The tenant of an access item.
pub(super) fn tenant_of(item: &Item) -> Option<TenantId> {
    TenantId::from_row(text_of(item, "pk")?.strip_prefix(ACCESS)?)
}
