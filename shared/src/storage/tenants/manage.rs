//! Creating and changing tenants and keys, for operators. Never on the path of a request.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::repository::{KeyOwner, TenantRepository, access_key, owner_key};
use crate::{
    domain::{
        api_key::KeyHash,
        id::TenantId,
        tenant::{KeyRecord, NewKey, NewLimits, NewModels, NewTenant, TenantAccess, TenantStatus},
        time::Timestamp,
    },
    storage::{
        conditional::{ConditionalUpdate, unless_refused},
        error::StorageError,
        item::{self, number, text, to_value},
        transaction::{Transaction, TransactionPart, TransactionResult},
    },
};

/// The condition that a key is not another tenant's.
const OWN_OR_UNUSED: &str = "attribute_not_exists(pk) OR tenant_id = :tenant";

impl TenantRepository {
    /// Creates a tenant with one key; `None` when the key is in use.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn create(&self, new: NewTenant<'_>, now: Timestamp) -> Result<Option<TenantId>, StorageError> {
        let (tenant, key) = (TenantId::generate(), owner_key(new.key));
        let owner = item::to_item(KeyOwner { tenant_id: tenant.clone() })?;
        let access = item::to_item(TenantAccess::new(new, now))?;
        let transaction = Transaction::new()
            .with(TransactionPart::create(&self.table, key, owner))
            .with(TransactionPart::create(&self.table, access_key(&tenant), access));
        match transaction.commit(self.table.client()).await? {
            TransactionResult::Committed => Ok(Some(tenant)),
            TransactionResult::Refused { .. } => Ok(None),
        }
    }

    /// Suspends or resumes a tenant, from its next request on. Returns false when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn set_status(&self, tenant: &TenantId, status: TenantStatus) -> Result<bool, StorageError> {
        let update = self
            .update_access(tenant)
            .update_expression("SET #status = :status")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", to_value(status)?);
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Changes limits of a tenant, from its next request on. Only the named limits are written, so that two operators who
    /// change different ones do not undo each other's change. Returns false when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn set_limits(&self, tenant: &TenantId, new: NewLimits) -> Result<bool, StorageError> {
        let limits = [
            ("rest_per_minute", new.rest_per_minute),
            ("tickets_per_minute", new.tickets_per_minute),
            ("connections", new.connections),
            ("connects_per_minute", new.connects_per_minute),
            ("connections_per_chat", new.connections_per_chat),
        ];
        let named = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
        let mut update = self.update_access(tenant).condition_expression("attribute_exists(pk)");
        let mut assignments = Vec::new();
        for (name, limit) in named {
            assignments.push(format!("limits.#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), number(limit));
        }
        if !assignments.is_empty() {
            update = update.update_expression(format!("SET {}", assignments.join(", ")));
        }
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Changes what a tenant's chats may use: of REST requests the next one, of open connections within 30 s. Returns false
    /// when there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn set_models(&self, tenant: &TenantId, new: NewModels) -> Result<bool, StorageError> {
        let lists = [
            ("allowed_agents", new.agents.map(|list| list.map(to_value).transpose()).transpose()?),
            ("allowed_models", new.models.map(|list| list.map(to_value).transpose()).transpose()?),
        ];
        let mut update = self.update_access(tenant).condition_expression("attribute_exists(pk)");
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for (name, list) in lists.into_iter().filter_map(|(name, list)| Some((name, list?))) {
            match list {
                None => remove.push(name),
                Some(list) => {
                    set.push(format!("{name} = :{name}"));
                    update = update.expression_attribute_values(format!(":{name}"), list);
                }
            }
        }
        let clauses = [("SET", set.join(", ")), ("REMOVE", remove.join(", "))].into_iter();
        let clauses: Vec<String> =
            clauses.filter(|(_, paths)| !paths.is_empty()).map(|(clause, paths)| format!("{clause} {paths}")).collect();
        if !clauses.is_empty() {
            update = update.update_expression(clauses.join(" "));
        }
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Adds a key to a tenant; `None` when there is no such tenant or the key is in use.
    ///
    /// Two plain writes, since a transaction would conflict with the tenant's requests, which write the same item; a third
    /// for a key that expires. The key's owner is written first, which alone gives no access; if this breaks off there, it
    /// can be repeated.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
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
            .update_access(tenant)
            .update_expression("SET #keys.#key = :record")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(#keys.#key)")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", new.key.as_str())
            .expression_attribute_values(":record", to_value(&record)?)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let access: TenantAccess = match ConditionalUpdate::of(update.send().await)? {
            ConditionalUpdate::Updated(_) => {
                self.set_owner_expiry(new.key, tenant, new.expires_at).await?;
                return Ok(Some(record));
            }
            ConditionalUpdate::Refused(None) => {
                self.unclaim_key(new.key, tenant).await?;
                return Ok(None);
            }
            ConditionalUpdate::Refused(Some(item)) => item::from_item(item)?,
        };
        // After a lost response the SDK writes again, and the condition fails on the first write.
        let current = access.key(new.key);
        if let Some(current) = current {
            // For a key that the tenant had, the claim removed it.
            self.set_owner_expiry(new.key, tenant, current.expires_at).await?;
        }
        Ok(current.is_some_and(|current| current.key_id == record.key_id).then_some(record))
    }

    /// Changes when a key expires, from the next request on. Returns false when the tenant has no such key, or DynamoDB
    /// has deleted its owner since it expired.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn set_key_expiry(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        expires_at: Timestamp,
    ) -> Result<bool, StorageError> {
        // While the two items disagree, the owner stays: without it a live key would be unknown.
        if !self.keep_owner(key, tenant).await? {
            return Ok(false);
        }
        let update = self
            .update_access(tenant)
            .update_expression("SET #keys.#key.expires_at = :expires_at")
            .condition_expression("attribute_exists(#keys.#key)")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", key.as_str())
            .expression_attribute_values(":expires_at", text(expires_at));
        let is_changed = unless_refused(update.send().await)?.is_some();
        if is_changed {
            self.set_owner_expiry(key, tenant, Some(expires_at)).await?;
        }
        Ok(is_changed)
    }

    /// Revokes a key: its next request is refused. Returns false when the tenant has no such key.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn revoke_key(&self, tenant: &TenantId, key: &KeyHash) -> Result<bool, StorageError> {
        // The access comes first: without it the key is refused, even if the other write fails.
        let update = self
            .update_access(tenant)
            .update_expression("REMOVE #keys.#key")
            .condition_expression("attribute_exists(#keys.#key)")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", key.as_str());
        let revoked = unless_refused(update.send().await)?.is_some();
        self.unclaim_key(key, tenant).await?;
        Ok(revoked)
    }

    /// Writes whose a key is. Returns false when it is another tenant's.
    async fn claim_key(&self, key: &KeyHash, tenant: &TenantId) -> Result<bool, StorageError> {
        let mut item = item::to_item(KeyOwner { tenant_id: tenant.clone() })?;
        owner_key(key).add_to(&mut item);
        let put = self
            .table
            .put(item)
            .condition_expression(OWN_OR_UNUSED)
            .expression_attribute_values(":tenant", text(tenant));
        Ok(unless_refused(put.send().await)?.is_some())
    }

    /// Keeps whose a key is, whenever it expires. Returns false when it is not this tenant's.
    async fn keep_owner(&self, key: &KeyHash, tenant: &TenantId) -> Result<bool, StorageError> {
        let update = self
            .table
            .update(owner_key(key))
            .update_expression("REMOVE #ttl")
            .condition_expression("tenant_id = :tenant")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":tenant", text(tenant));
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Lets DynamoDB delete whose a key is once the key has expired, which the tenant's access says already. Requests with
    /// the expired key then end at an unknown key, and the tenant's access is not read for them.
    async fn set_owner_expiry(
        &self,
        key: &KeyHash,
        tenant: &TenantId,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let Some(expires_at) = expires_at else { return Ok(()) };
        let update = self
            .table
            .update(owner_key(key))
            .update_expression("SET #ttl = :ttl")
            .condition_expression("tenant_id = :tenant")
            .expression_attribute_names("#ttl", "ttl")
            // Rounded up: the key is valid until then.
            .expression_attribute_values(":ttl", number(expires_at.as_seconds() + 1))
            .expression_attribute_values(":tenant", text(tenant));
        unless_refused(update.send().await).map(drop)
    }

    /// Deletes whose a key is, if it is this tenant's.
    pub(super) async fn unclaim_key(&self, key: &KeyHash, tenant: &TenantId) -> Result<(), StorageError> {
        let delete = self
            .table
            .delete(owner_key(key))
            .condition_expression(OWN_OR_UNUSED)
            .expression_attribute_values(":tenant", text(tenant));
        unless_refused(delete.send().await).map(drop)
    }
}
