//! Tenants and their API keys.
//!
//! | `pk` | item |
//! |---|---|
//! | `key#{sha256 of the key}` | whose key it is |
//! | `tenant#{tenant_id}` | the tenant's gate: what every request passes |
//!
//! The gate is one small item (below 1 KB, the unit of writes), so that one conditional update lets a request in: the
//! key is live, the tenant is not suspended, the limit is not reached, and the request is counted. What the condition
//! refused is told from the item that DynamoDB returns with the refusal.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    Client,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    Connection, StorageError, item,
    transaction::{ATTEMPTS, back_off},
};
use crate::domain::{
    api_key::KeyHash,
    chat::ChatConfig,
    id::TenantId,
    limits::{Limits, RateLimitBucket, RateLimitStatus, WINDOW},
    time::Timestamp,
};

mod erase;
mod manage;
mod retention;

pub use manage::{NewKey, NewLimits, NewTenant, TenantRecord};

/// The tenants table.
#[derive(Clone, Debug)]
pub struct Tenants {
    client: Client,
    table: String,
}

/// What every request of a tenant has to pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantAccess {
    /// The tenant's name, for people.
    pub name: String,
    /// Whether the tenant may come in.
    pub status: TenantStatus,
    /// The keys that open the gate, by their hashes.
    keys: BTreeMap<String, KeyRecord>,
    /// What the tenant may do.
    pub limits: Limits,
    /// What chats are given that do not say otherwise. No system prompt: it would not fit.
    pub defaults: ChatConfig,
    /// For how many days chats are kept in which nothing happens; for ever, unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// When the tenant was made.
    pub created_at: Timestamp,
    rest_count: u32,
    rest_ends: Timestamp,
    tickets_count: u32,
    tickets_ends: Timestamp,
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

/// A live key, as its tenant's gate knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What people call it by: `key_` and a ULID.
    pub key_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct KeyOwner {
    #[serde(deserialize_with = "TenantId::deserialize_row")]
    tenant_id: TenantId,
}

/// Whether a request may come in.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// It may, and is counted.
    Admitted(RateLimitStatus, ChatConfig),
    /// It may not: its window is full.
    RateLimited(RateLimitStatus),
    /// It may not: the gate is shut.
    Denied(AccessDenied),
}

/// Why a gate stays shut, before any limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// The key opens nothing (any more).
    InvalidKey,
    /// The tenant is suspended.
    Suspended,
}

impl TenantAccess {
    /// Whether this key opens the gate now.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn open(&self, key: &KeyHash, now: Timestamp) -> Result<(), AccessDenied> {
        let live = |key: &KeyRecord| key.expires_at.is_none_or(|expires_at| expires_at > now);
        if !self.keys.get(key.as_str()).is_some_and(live) {
            return Err(AccessDenied::InvalidKey);
        }
        match self.status {
            TenantStatus::Active => Ok(()),
            TenantStatus::Suspended => Err(AccessDenied::Suspended),
        }
    }

    /// Of a tenant's sockets those that do not open its gate any more, and why; a gate that is gone nobody opens. Not those
    /// that must have ended by now.
    #[must_use]
    pub fn denied_connections(
        access: Option<&Self>,
        sockets: &[Connection],
        now: Timestamp,
    ) -> (Vec<Connection>, AccessDenied) {
        let is_shut = |socket: &&Connection| access.is_none_or(|access| access.open(&socket.grant.key, now).is_err());
        let denied_connections =
            sockets.iter().filter(|socket| socket.expires_at > now).filter(is_shut).cloned().collect();
        let is_suspended = access.is_some_and(|access| access.status == TenantStatus::Suspended);
        (denied_connections, if is_suspended { AccessDenied::Suspended } else { AccessDenied::InvalidKey })
    }

    /// The window of a bucket, as it stands.
    #[must_use]
    pub fn rate_limit(&self, bucket: RateLimitBucket) -> RateLimitStatus {
        let (limit, count, ends_at) = match bucket {
            RateLimitBucket::Rest => (self.limits.rest_per_minute, self.rest_count, self.rest_ends),
            RateLimitBucket::Tickets => (self.limits.tickets_per_minute, self.tickets_count, self.tickets_ends),
        };
        RateLimitStatus { bucket, limit, remaining: limit.saturating_sub(count), ends_at }
    }
}

impl Tenants {
    /// The table of that name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Finds the tenant that a key belongs to, or once belonged to: only its gate says if it still does.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn owner_of(&self, key: &KeyHash) -> Result<Option<TenantId>, StorageError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key_pk(key)))
            .consistent_read(true)
            .send()
            .await?;
        let owner: Option<KeyOwner> = output.item.map(item::from_item).transpose()?;
        Ok(owner.map(|owner| owner.tenant_id))
    }

    /// Reads a tenant's gate as it is now.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn access(&self, tenant: &TenantId) -> Result<Option<TenantAccess>, StorageError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(access_pk(tenant)))
            .consistent_read(true)
            .send()
            .await?;
        output.item.map(item::from_item).transpose()
    }

    /// Lets a request in and counts it: one conditional write; two at the turn of a window. Should the answer get lost,
    /// the SDK sends the write again and the request counts twice: one request too few may pass, never one too many.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn admit(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        bucket: RateLimitBucket,
        now: Timestamp,
    ) -> Result<Admission, StorageError> {
        let columns = Columns::of(bucket);
        for attempt in 1..=ATTEMPTS {
            let counted = self
                .update_access(tenant, key, now)
                .update_expression("ADD #count :one")
                .condition_expression(format!("{OPEN} AND #ends > :now AND #count < limits.#limit"))
                .expression_attribute_names("#count", columns.count)
                .expression_attribute_names("#ends", columns.ends)
                .expression_attribute_names("#limit", columns.limit)
                .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
            let access = match self.attempt(counted).await? {
                Passage::Through(access) => return Ok(Admission::Admitted(access.rate_limit(bucket), access.defaults)),
                Passage::Nobody => return Ok(Admission::Denied(AccessDenied::InvalidKey)),
                Passage::Refused(access) => access,
            };
            if let Err(denied) = access.open(key, now) {
                return Ok(Admission::Denied(denied));
            }
            let rate_limit = access.rate_limit(bucket);
            if rate_limit.is_used_up(now) {
                return Ok(Admission::RateLimited(rate_limit));
            }
            // The window is over. Whoever comes first begins the next one; the others count into it.
            let begun = self
                .update_access(tenant, key, now)
                .update_expression("SET #count = :one, #ends = :ends")
                .condition_expression(format!("{OPEN} AND #ends = :seen"))
                .expression_attribute_names("#count", columns.count)
                .expression_attribute_names("#ends", columns.ends)
                .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
                .expression_attribute_values(":ends", AttributeValue::S(now.plus(WINDOW).to_string()))
                .expression_attribute_values(":seen", AttributeValue::S(rate_limit.ends_at.to_string()));
            if let Passage::Through(access) = self.attempt(begun).await? {
                return Ok(Admission::Admitted(access.rate_limit(bucket), access.defaults));
            }
            if attempt > 1 {
                back_off(attempt).await;
            }
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }

    fn update(&self, tenant: &TenantId) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("pk", AttributeValue::S(access_pk(tenant)))
    }

    /// An update of a tenant's gate on behalf of a key. Its condition begins with [`OPEN`].
    fn update_access(&self, tenant: &TenantId, key: &KeyHash, now: Timestamp) -> UpdateItemFluentBuilder {
        self.update(tenant)
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", key.as_str())
            .expression_attribute_values(":active", AttributeValue::S("active".to_owned()))
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    async fn attempt(&self, update: UpdateItemFluentBuilder) -> Result<Passage, StorageError> {
        match update.send().await {
            Ok(output) => Ok(Passage::Through(Box::new(item::from_item(output.attributes.unwrap_or_default())?))),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => match refusal.item() {
                    Some(item) => Ok(Passage::Refused(Box::new(item::from_item(item.clone())?))),
                    None => Ok(Passage::Nobody),
                },
                _ => Err(error.into()),
            },
        }
    }
}

/// The condition that a key opens a gate.
const OPEN: &str = "#status = :active AND attribute_exists(#keys.#key) \
                    AND (attribute_not_exists(#keys.#key.expires_at) OR #keys.#key.expires_at > :now)";

/// What became of an update of a gate.
enum Passage {
    Through(Box<TenantAccess>),
    Refused(Box<TenantAccess>),
    Nobody,
}

/// The attributes of a bucket.
struct Columns {
    count: &'static str,
    ends: &'static str,
    limit: &'static str,
}

impl Columns {
    fn of(bucket: RateLimitBucket) -> Self {
        match bucket {
            RateLimitBucket::Rest => Self { count: "rest_count", ends: "rest_ends", limit: "rest_per_minute" },
            RateLimitBucket::Tickets => {
                Self { count: "tickets_count", ends: "tickets_ends", limit: "tickets_per_minute" }
            }
        }
    }
}

fn key_pk(key: &KeyHash) -> String {
    format!("key#{}", key.as_str())
}

fn access_pk(tenant: &TenantId) -> String {
    format!("tenant#{tenant}")
}
