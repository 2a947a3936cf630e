//! Finds the tenant of an API key and checks, on every request, that the key still grants access.

use std::time::Duration;

use super::api_key::{hash_key, invalid_key};
use crate::{
    domain::{
        allowed_models::TenantModels,
        api_key::KeyHash,
        chat::ChatConfig,
        error::ApiError,
        id::TenantId,
        limits::{RateLimitBucket, RateLimitStatus},
        tenant::{AccessDenied, TenantAccess},
        time::Timestamp,
    },
    runtime::{cache::Cache, telemetry},
    storage::{Admission, StorageError, TenantRepository},
};

/// How long an open connection is served before its key is checked again.
pub const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// How long the tenant of a refused key is trusted. An expired key may be given to another tenant.
const OWNER_RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Authenticates requests and connections.
#[derive(Clone, Debug)]
pub struct Authenticator {
    tenants: TenantRepository,
    /// The tenant of a key seldom changes. Whether the key still grants access is read on every request.
    owners: Cache<KeyHash, TenantId>,
    /// Until when a rate limit window is full. A refused write costs as much as a successful one; a read a fifth of it.
    limited_until: Cache<(TenantId, RateLimitBucket), Timestamp>,
    /// Keys that their tenants refused, and until when these are taken for their tenants. Their requests read the access
    /// instead of writing it, so that they cannot take the item's write capacity from the tenant's live keys.
    denied: Cache<(TenantId, KeyHash), Timestamp>,
    /// When a key was last seen to grant access to a connection, and what the tenant's chats might use then.
    checked_at: Cache<(TenantId, KeyHash), (Timestamp, TenantModels)>,
}

/// An authenticated tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The tenant's id.
    pub id: TenantId,
    /// The hash of the key of the request.
    pub key: KeyHash,
    /// The defaults for settings that a new chat leaves open.
    pub defaults: ChatConfig,
    /// What the tenant's chats may use.
    pub models: TenantModels,
}

/// The result of an authentication: the tenant or an error, and the rate limit once the tenant is known.
pub type Admitted = (Result<Tenant, ApiError>, Option<RateLimitStatus>);

impl Authenticator {
    /// Authenticates against these tenants.
    #[must_use]
    pub fn new(tenants: TenantRepository) -> Self {
        Self {
            tenants,
            owners: Cache::default(),
            limited_until: Cache::default(),
            denied: Cache::default(),
            checked_at: Cache::default(),
        }
    }

    /// Authenticates a request and counts it against the rate limit: one round trip, two at the start of a window, one
    /// more for a key that this process has not seen. A key that this process has seen refused costs one read, two every
    /// 5 s.
    pub async fn admit(&self, key: Option<&str>, bucket: RateLimitBucket, now: Timestamp) -> Admitted {
        match self.try_admit(key, bucket, now).await {
            Ok(admitted) => admitted,
            Err(error) => (Err(error), None),
        }
    }

    async fn try_admit(
        &self,
        key: Option<&str>,
        bucket: RateLimitBucket,
        now: Timestamp,
    ) -> Result<Admitted, ApiError> {
        let key = hash_key(key)?;
        let Some(tenant) = self.owners.get(&key) else {
            let tenant = self.owner_of(&key).await?;
            return self.count(tenant, &key, bucket, now).await?.into_result(now);
        };
        match self.count(tenant.clone(), &key, bucket, now).await? {
            Attempt::NotOwned => {
                self.owners.remove(&key);
                let owner = self.owner_of(&key).await?;
                let attempt =
                    if owner == tenant { Attempt::NotOwned } else { self.count(owner, &key, bucket, now).await? };
                attempt.into_result(now)
            }
            attempt => attempt.into_result(now),
        }
    }

    async fn count(
        &self,
        tenant: TenantId,
        key: &KeyHash,
        bucket: RateLimitBucket,
        now: Timestamp,
    ) -> Result<Attempt, ApiError> {
        let (window, grant) = ((tenant.clone(), bucket), (tenant.clone(), key.clone()));
        let denied = self.denied.get(&grant);
        if denied.is_some() || self.limited_until.get(&window).is_some_and(|until| until > now) {
            // What an operator changes takes effect at once: a read shows it without another write.
            let Some(access) = self.tenants.access(&tenant).await? else { return Ok(Attempt::NotOwned) };
            match access.check(key, now) {
                Ok(()) => self.denied.remove(&grant),
                Err(AccessDenied::InvalidKey)
                    if access.key(key).is_some() && denied.is_some_and(|owned_until| owned_until > now) =>
                {
                    return Ok(Attempt::Denied(AccessDenied::InvalidKey));
                }
                Err(reason) => return Ok(self.deny(grant, reason, now)),
            }
            let status = access.rate_limit(bucket);
            if status.is_used_up(now) {
                telemetry::note_tenant(&tenant);
                return Ok(Attempt::RateLimited(status));
            }
        }
        let admission = self.tenants.admit(&tenant, key, bucket, now).await?;
        if !matches!(admission, Admission::Denied(_)) {
            telemetry::note_tenant(&tenant);
        }
        Ok(match admission {
            Admission::Admitted(status, defaults, models) => {
                Attempt::Admitted(Tenant { id: tenant, key: key.clone(), defaults, models }, status)
            }
            Admission::RateLimited(status) => {
                self.limited_until.put(window, status.ends_at);
                Attempt::RateLimited(status)
            }
            Admission::Denied(reason) => self.deny(grant, reason, now),
        })
    }

    /// Remembers a refused key.
    fn deny(&self, grant: (TenantId, KeyHash), reason: AccessDenied, now: Timestamp) -> Attempt {
        if reason == AccessDenied::Suspended {
            telemetry::note_tenant(&grant.0);
        }
        self.denied.put(grant, now.plus(OWNER_RECHECK_INTERVAL));
        match reason {
            AccessDenied::InvalidKey => Attempt::NotOwned,
            AccessDenied::Suspended => Attempt::Denied(reason),
        }
    }

    /// Checks that the key of an open connection still grants access, at most every [`RECHECK_INTERVAL`].
    ///
    /// # Errors
    ///
    /// `CONNECTION_CLOSING` when it does not.
    pub async fn recheck(&self, tenant: &TenantId, key: &KeyHash, now: Timestamp) -> Result<(), ApiError> {
        self.recheck_models(tenant, key, now).await.map(drop)
    }

    /// As [`recheck`](Self::recheck). Returns what the tenant's chats may use, read at most [`RECHECK_INTERVAL`] ago.
    ///
    /// # Errors
    ///
    /// `CONNECTION_CLOSING` when the key no longer grants access.
    pub async fn recheck_models(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<TenantModels, ApiError> {
        let grant = (tenant.clone(), key.clone());
        if let Some((checked, models)) = self.checked_at.get(&grant)
            && checked.plus(RECHECK_INTERVAL) > now
        {
            return Ok(models);
        }
        let models = self.open(tenant, key, now).await?.map_err(AccessDenied::closing)?.models();
        self.checked_at.put(grant, (now, models.clone()));
        Ok(models)
    }

    /// Reads the access of a tenant, if this key grants it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not respond.
    pub async fn open(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<Result<TenantAccess, AccessDenied>, StorageError> {
        let access = self.tenants.access(tenant).await?.ok_or(AccessDenied::InvalidKey);
        let granted = access.and_then(|access| access.check(key, now).map(|()| access));
        if !matches!(granted, Err(AccessDenied::InvalidKey)) {
            telemetry::note_tenant(tenant);
        }
        Ok(granted)
    }

    /// Finds the tenant of a key, without a check that the key grants access.
    ///
    /// # Errors
    ///
    /// `MISSING_API_KEY`, `INVALID_API_KEY`.
    pub async fn identify(&self, key: Option<&str>) -> Result<(TenantId, KeyHash), ApiError> {
        let key = hash_key(key)?;
        let tenant = match self.owners.get(&key) {
            Some(tenant) => tenant,
            None => self.owner_of(&key).await?,
        };
        Ok((tenant, key))
    }

    /// Removes the tenant of a key from the cache: a denied key may belong to another tenant by now.
    pub fn forget(&self, key: &KeyHash) {
        self.owners.remove(key);
    }

    async fn owner_of(&self, key: &KeyHash) -> Result<TenantId, ApiError> {
        let tenant = self.tenants.owner_of(key).await?.ok_or_else(invalid_key)?;
        self.owners.put(key.clone(), tenant.clone());
        Ok(tenant)
    }
}

enum Attempt {
    Admitted(Tenant, RateLimitStatus),
    RateLimited(RateLimitStatus),
    Denied(AccessDenied),
    /// The tenant refuses the key, which may belong to another tenant by now.
    NotOwned,
}

impl Attempt {
    fn into_result(self, now: Timestamp) -> Result<Admitted, ApiError> {
        match self {
            Self::Admitted(tenant, status) => Ok((Ok(tenant), Some(status))),
            Self::RateLimited(status) => Ok((Err(status.exceeded(now)), Some(status))),
            Self::Denied(denied) => Err(denied.into()),
            Self::NotOwned => Err(invalid_key()),
        }
    }
}
