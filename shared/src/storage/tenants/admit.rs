//! Admitting a request: key, status and rate limit in one write.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use super::repository::TenantRepository;
use crate::{
    domain::{
        allowed_models::TenantModels,
        api_key::KeyHash,
        chat::ChatConfig,
        id::TenantId,
        limits::{RateLimitBucket, RateLimitStatus},
        tenant::{AccessDenied, TenantAccess},
        time::Timestamp,
    },
    storage::{
        conditional::ConditionalUpdate,
        error::StorageError,
        item::{self, text},
        rate_limit::WindowAttributes,
        transaction::{ATTEMPTS, back_off},
    },
};

/// Whether a request is admitted.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// The request is admitted and counted; with the tenant's defaults, and what its chats may use.
    Admitted(RateLimitStatus, ChatConfig, TenantModels),
    /// The limit of the window is reached.
    RateLimited(RateLimitStatus),
    /// The key or the tenant's status does not allow it.
    Denied(AccessDenied),
}

/// The condition that a key is live and its tenant active.
const HAS_ACCESS: &str = "#status = :active AND attribute_exists(#keys.#key) \
                          AND (attribute_not_exists(#keys.#key.expires_at) OR #keys.#key.expires_at > :now)";

/// The outcome of a conditional update of a tenant's access.
enum AccessUpdate {
    Updated(Box<TenantAccess>),
    Refused(Box<TenantAccess>),
    NoTenant,
}

impl TenantRepository {
    /// Admits and counts a request: one conditional write, two at the turn of a window. If a response is lost, the SDK
    /// writes again and the request counts twice: the tenant may get one request less, never one more.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn admit(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        bucket: RateLimitBucket,
        now: Timestamp,
    ) -> Result<Admission, StorageError> {
        let window = WindowAttributes::of(bucket);
        for attempt in 1..=ATTEMPTS {
            let count = window.count(self.update_for_key(tenant, key, now), HAS_ACCESS);
            let access = match AccessUpdate::send(count).await? {
                AccessUpdate::Updated(access) => {
                    return Ok(Admission::of(*access, bucket));
                }
                AccessUpdate::NoTenant => return Ok(Admission::Denied(AccessDenied::InvalidKey)),
                AccessUpdate::Refused(access) => access,
            };
            if let Err(denied) = access.check(key, now) {
                return Ok(Admission::Denied(denied));
            }
            let rate_limit = access.rate_limit(bucket);
            if rate_limit.is_used_up(now) {
                return Ok(Admission::RateLimited(rate_limit));
            }
            // The window is over. One request starts the next one; the others count into it.
            let start = window.start(self.update_for_key(tenant, key, now), HAS_ACCESS, rate_limit.ends_at, now);
            if let AccessUpdate::Updated(access) = AccessUpdate::send(start).await? {
                return Ok(Admission::of(*access, bucket));
            }
            if attempt > 1 {
                back_off(attempt).await;
            }
        }
        Err(StorageError::Contended { attempts: ATTEMPTS })
    }

    /// An update whose condition starts with [`HAS_ACCESS`].
    fn update_for_key(&self, tenant: &TenantId, key: &KeyHash, now: Timestamp) -> UpdateItemFluentBuilder {
        self.update_access(tenant)
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#keys", "keys")
            .expression_attribute_names("#key", key.as_str())
            .expression_attribute_values(":active", text("active"))
            .expression_attribute_values(":now", text(now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

impl Admission {
    fn of(access: TenantAccess, bucket: RateLimitBucket) -> Self {
        Self::Admitted(access.rate_limit(bucket), access.defaults.clone(), access.models())
    }
}

impl AccessUpdate {
    async fn send(update: UpdateItemFluentBuilder) -> Result<Self, StorageError> {
        Ok(match ConditionalUpdate::of(update.send().await)? {
            ConditionalUpdate::Updated(item) => Self::Updated(Box::new(item::from_item(item)?)),
            ConditionalUpdate::Refused(Some(item)) => Self::Refused(Box::new(item::from_item(item)?)),
            ConditionalUpdate::Refused(None) => Self::NoTenant,
        })
    }
}
