//! Tenants and their API keys.
//!
//! | `pk` | item |
//! |---|---|
//! | `key#{sha256 of the key}` | whose key it is |
//! | `tenant#{tenant_id}` | the tenant's gate: name, status, the hashes of its live keys; below 1 KB, since every request reads it |

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Put, TransactWriteItem},
};
use serde::{Deserialize, Serialize};

use super::{StoreError, transaction};
use crate::{api_key::KeyHash, id::TenantId, time::Timestamp};

/// The tenants table.
#[derive(Clone, Debug)]
pub struct Tenants {
    client: Client,
    table: String,
}

/// What every request of a tenant has to pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// The tenant's name, for people.
    pub name: String,
    /// Whether the tenant may come in.
    pub status: TenantStatus,
    /// The hashes of the keys that open the gate.
    keys: BTreeMap<String, KeyRecord>,
    created_at: Timestamp,
}

/// Whether a tenant may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// As usual.
    Active,
    /// Everything is refused until the tenant is resumed.
    Suspended,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeyRecord {
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct KeyOwner {
    tenant_id: TenantId,
}

/// A tenant to be made.
#[derive(Debug)]
pub struct NewTenant<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// The hash of its first key.
    pub key: &'a KeyHash,
}

impl Gate {
    /// Whether this key opens the gate.
    #[must_use]
    pub fn opens_with(&self, key: &KeyHash) -> bool {
        self.keys.contains_key(key.as_str())
    }
}

impl Tenants {
    /// The table of that name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Finds the tenant that a key belongs to, or once belonged to: only [`gate`](Self::gate) says if it still does.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn owner_of(&self, key: &KeyHash) -> Result<Option<TenantId>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key_pk(key)))
            .consistent_read(true)
            .send()
            .await?;
        let owner: Option<KeyOwner> = output.item.map(serde_dynamo::from_item).transpose()?;
        Ok(owner.map(|owner| owner.tenant_id))
    }

    /// Reads a tenant's gate as it is now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn gate(&self, tenant: &TenantId) -> Result<Option<Gate>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(gate_pk(tenant)))
            .consistent_read(true)
            .send()
            .await?;
        Ok(output.item.map(serde_dynamo::from_item).transpose()?)
    }

    /// Makes a tenant with one key; `None` when that key is in use already.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn create(&self, new: NewTenant<'_>, now: Timestamp) -> Result<Option<TenantId>, StoreError> {
        let tenant = TenantId::generate();
        let keys = BTreeMap::from([(new.key.as_str().to_owned(), KeyRecord { created_at: now })]);
        let gate = Gate { name: new.name.to_owned(), status: TenantStatus::Active, keys, created_at: now };
        let owner = KeyOwner { tenant_id: tenant.clone() };
        let items = vec![
            self.put_new(key_pk(new.key), serde_dynamo::to_item(owner)?),
            self.put_new(gate_pk(&tenant), serde_dynamo::to_item(gate)?),
        ];
        match transaction::write(&self.client, items).await? {
            transaction::Written::Committed => Ok(Some(tenant)),
            transaction::Written::Refused { .. } => Ok(None),
        }
    }

    fn put_new(&self, pk: String, mut item: HashMap<String, AttributeValue>) -> TransactWriteItem {
        item.insert("pk".to_owned(), AttributeValue::S(pk));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }
}

fn key_pk(key: &KeyHash) -> String {
    format!("key#{}", key.as_str())
}

fn gate_pk(tenant: &TenantId) -> String {
    format!("tenant#{tenant}")
}
