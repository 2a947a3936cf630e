//! Managing tenants and keys: for those who run the service, never on the path of a request.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};

use super::{KeyOwner, KeyRecord, TenantAccess, TenantStatus, Tenants, access_pk, item, key_pk};
use crate::{
    domain::{api_key::KeyHash, chat::ChatConfig, id::TenantId, limits::Limits, time::Timestamp},
    storage::{
        StorageError,
        item::Item,
        transaction::{self, Written},
        unless_refused,
    },
};

/// A tenant to be made.
#[derive(Debug)]
pub struct NewTenant<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// The hash of its first key.
    pub key: &'a KeyHash,
    /// What it may do.
    pub limits: Limits,
    /// What its chats are given that do not say otherwise; without a system prompt.
    pub defaults: ChatConfig,
}

/// A key to be made for a tenant.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// The key's hash.
    pub key: &'a KeyHash,
    /// From when on it opens nothing any more.
    pub expires_at: Option<Timestamp>,
}

/// Limits to be changed; the others stay as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewLimits {
    /// REST requests a minute.
    pub rest_per_minute: Option<u32>,
    /// Tickets a minute.
    pub tickets_per_minute: Option<u32>,
    /// Open connections.
    pub connections: Option<u32>,
}

/// A tenant, as those see it who run the service.
#[derive(Clone, Debug)]
pub struct TenantRecord {
    /// Its id.
    pub tenant_id: TenantId,
    /// Its gate.
    pub access: TenantAccess,
}

/// The condition that nobody else owns a key.
const OWN_OR_NOBODYS: &str = "attribute_not_exists(pk) OR tenant_id = :tenant";

impl TenantAccess {
    /// The keys that open the gate, by their hashes.
    pub fn keys(&self) -> impl Iterator<Item = (KeyHash, &KeyRecord)> {
        self.keys.iter().map(|(hash, record)| (KeyHash::from_stored(hash), record))
    }
}

impl KeyRecord {
    fn new(expires_at: Option<Timestamp>, now: Timestamp) -> Self {
        Self { key_id: format!("key_{}", ulid::Ulid::generate()), created_at: now, expires_at }
    }
}

impl Tenants {
    /// Makes a tenant with one key; `None` when that key is in use already.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn create(&self, new: NewTenant<'_>, now: Timestamp) -> Result<Option<TenantId>, StorageError> {
        let tenant = TenantId::generate();
        let never = Timestamp::from_millis(0);
        let access = TenantAccess {
            name: new.name.to_owned(),
            status: TenantStatus::Active,
            keys: BTreeMap::from([(new.key.as_str().to_owned(), KeyRecord::new(None, now))]),
            limits: new.limits,
            defaults: ChatConfig { system_prompt: None, ..new.defaults },
            retention_days: None,
            created_at: now,
            rest_count: 0,
            rest_ends: never,
            tickets_count: 0,
            tickets_ends: never,
        };
        let items = vec![self.put_owner(new.key, &tenant)?, self.put_new(access_pk(&tenant), item::to_item(access)?)];
        match transaction::write(&self.client, items).await? {
            Written::Committed => Ok(Some(tenant)),
            Written::Refused { .. } => Ok(None),
        }
    }

    /// All tenants, by a scan of the table.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn list(&self) -> Result<Vec<TenantRecord>, StorageError> {
        let mut tenants = Vec::new();
        let mut after = None;
        loop {
            let output = self
                .client
                .scan()
                .table_name(&self.table)
                .filter_expression("begins_with(pk, :gates)")
                .expression_attribute_values(":gates", AttributeValue::S("tenant#".to_owned()))
                .set_exclusive_start_key(after)
                .send()
                .await?;
            for item in output.items.unwrap_or_default() {
                let pk = item.get("pk").and_then(|pk| pk.as_s().ok());
                let Some(tenant_id) = pk.and_then(|pk| TenantId::from_row(pk.strip_prefix("tenant#")?)) else {
                    continue;
                };
                tenants.push(TenantRecord { tenant_id, access: item::from_item(item)? });
            }
            after = output.last_evaluated_key;
            if after.is_none() {
                tenants.sort_by_key(|tenant| tenant.access.created_at);
                return Ok(tenants);
            }
        }
    }

    /// Finds a tenant by the text of its id.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn find(&self, id: &str) -> Result<Option<TenantRecord>, StorageError> {
        let Some(tenant_id) = TenantId::from_row(id) else { return Ok(None) };
        Ok(self.access(&tenant_id).await?.map(|access| TenantRecord { tenant_id, access }))
    }

    /// Suspends a tenant or lets it come in again. False when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn set_status(&self, tenant: &TenantId, status: TenantStatus) -> Result<bool, StorageError> {
        let update = self
            .update(tenant)
            .update_expression("SET #status = :status")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", serde_dynamo::to_attribute_value(status)?);
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Changes limits of a tenant, felt on its next request. Only those that are named are written, so that two who change
    /// different ones do not undo each other. False when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn set_limits(&self, tenant: &TenantId, new: NewLimits) -> Result<bool, StorageError> {
        let named = [
            ("rest_per_minute", new.rest_per_minute),
            ("tickets_per_minute", new.tickets_per_minute),
            ("connections", new.connections),
        ];
        let named = named.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
        let mut update = self.update(tenant).condition_expression("attribute_exists(pk)");
        let mut changes = Vec::new();
        for (name, limit) in named {
            changes.push(format!("limits.#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), AttributeValue::N(limit.to_string()));
        }
        if !changes.is_empty() {
            update = update.update_expression(format!("SET {}", changes.join(", ")));
        }
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Gives a tenant one key more; `None` when there is no such tenant or the key is in use already.
    ///
    /// Two plain writes, since a transaction would make the tenant's requests fail that write its gate meanwhile. The
    /// key's owner comes first, which alone opens nothing; when it breaks off there, it can be run again.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn add_key(
        &self,
        tenant: &TenantId,
        new: NewKey<'_>,
        now: Timestamp,
    ) -> Result<Option<KeyRecord>, StorageError> {
        if !self.claim_key(new.key, tenant).await? {
            return Ok(None);
        }
        let record = KeyRecord::new(new.expires_at, now);
        let update = self
            .update(tenant)
            .update_expression("SET #keys.#key = :record")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(#keys.#key)")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", new.key.as_str())
            .expression_attribute_values(":record", serde_dynamo::to_attribute_value(&record)?)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match update.send().await {
            Ok(_) => return Ok(Some(record)),
            Err(error) => error,
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(refusal)) = error.as_service_error() else {
            return Err(error.into());
        };
        let Some(access) = refusal.item() else {
            self.disclaim_key(new.key, tenant).await?;
            return Ok(None);
        };
        // When the answer to the first try got lost, the second one is refused because of the first.
        let access: TenantAccess = item::from_item(access.clone())?;
        let is_ours = access.keys.get(new.key.as_str()).is_some_and(|there| there.key_id == record.key_id);
        Ok(is_ours.then_some(record))
    }

    /// Lets a key end at another time, felt on its next request. False when it opened nothing.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn set_key_expiry(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        expires_at: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self
            .update(tenant)
            .update_expression("SET #keys.#key.expires_at = :expires_at")
            .condition_expression("attribute_exists(#keys.#key)")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", key.as_str())
            .expression_attribute_values(":expires_at", AttributeValue::S(expires_at.to_string()));
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Revokes a key: the next request with it is refused. False when it opened nothing.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn revoke_key(&self, tenant: &TenantId, key: &KeyHash) -> Result<bool, StorageError> {
        // The gate comes first: once the key is not in it, the key is dead, whatever becomes of its other item.
        let update = self
            .update(tenant)
            .update_expression("REMOVE #keys.#key")
            .condition_expression("attribute_exists(#keys.#key)")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", key.as_str());
        let revoked = unless_refused(update.send().await)?.is_some();
        self.disclaim_key(key, tenant).await?;
        Ok(revoked)
    }

    /// Notes whose key it is. False when it is another tenant's.
    async fn claim_key(&self, key: &KeyHash, tenant: &TenantId) -> Result<bool, StorageError> {
        let mut item = item::to_item(KeyOwner { tenant_id: tenant.clone() })?;
        item.insert("pk".to_owned(), AttributeValue::S(key_pk(key)));
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(OWN_OR_NOBODYS)
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_string()));
        Ok(unless_refused(put.send().await)?.is_some())
    }

    /// Forgets whose key it is, if it is this tenant's.
    pub(super) async fn disclaim_key(&self, key: &KeyHash, tenant: &TenantId) -> Result<(), StorageError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key_pk(key)))
            .condition_expression(OWN_OR_NOBODYS)
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_string()));
        unless_refused(delete.send().await).map(drop)
    }

    fn put_owner(&self, key: &KeyHash, tenant: &TenantId) -> Result<TransactWriteItem, StorageError> {
        Ok(self.put_new(key_pk(key), item::to_item(KeyOwner { tenant_id: tenant.clone() })?))
    }

    fn put_new(&self, pk: String, mut item: Item) -> TransactWriteItem {
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
