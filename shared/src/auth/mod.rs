//! Authentication: API key → tenant → may it come in?

mod chat_access;

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    domain::{
        api_key::{ApiKey, KeyHash},
        chat::ChatConfig,
        error::{ApiError, Code},
        id::TenantId,
        limits::{RateLimitBucket, RateLimitStatus},
        time::Timestamp,
    },
    runtime::telemetry,
    storage::{AccessDenied, Admission, StorageError, TenantAccess, Tenants},
};

pub use chat_access::check_chat_access;

/// Where the key is sent.
pub const API_KEY_HEADER: &str = "x-api-key";

/// How many tenants or keys a process remembers something of.
const REMEMBERED: usize = 10_000;

/// How long a socket may speak before its key is looked at again.
pub const RECHECK: Duration = Duration::from_secs(30);

/// Lets tenants in by their keys.
#[derive(Clone, Debug)]
pub struct Authenticator {
    tenants: Tenants,
    /// Whose key it is seldom changes, so it may be remembered; whether the key still opens the gate is asked each time.
    owners: Memory<KeyHash, TenantId>,
    /// StopTime when a window is full. A refused write costs as much as one that succeeds; a read a fifth of it.
    limited: Memory<(TenantId, RateLimitBucket), Timestamp>,
    /// When a key was last seen to open its tenant's gate.
    seen_open: Memory<(TenantId, KeyHash), Timestamp>,
}

/// A tenant that was let in.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The tenant's id.
    pub id: TenantId,
    /// The hash of the key that it was let in by.
    pub key: KeyHash,
    /// What its chats are given that do not say otherwise.
    pub defaults: ChatConfig,
}

/// What became of a request at the door.
pub type Admitted = (Result<Tenant, ApiError>, Option<RateLimitStatus>);

impl Authenticator {
    /// Guards these tenants.
    #[must_use]
    pub fn new(tenants: Tenants) -> Self {
        Self { tenants, owners: Memory::default(), limited: Memory::default(), seen_open: Memory::default() }
    }

    /// Lets a request in and counts it: who it is from, or why it is refused; and how much of the window is left,
    /// once the tenant is known.
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
        let key = readable(key)?;
        if let Some(tenant) = self.owners.get(&key) {
            match self.attempt(tenant, &key, bucket, now).await? {
                // Perhaps the key has moved to another tenant.
                Attempt::Denied(AccessDenied::InvalidKey) => self.owners.forget(&key),
                passed => return passed.into_result(now),
            }
        }
        let tenant = self.owner_of(&key).await?;
        self.attempt(tenant, &key, bucket, now).await?.into_result(now)
    }

    async fn attempt(
        &self,
        tenant: TenantId,
        key: &KeyHash,
        bucket: RateLimitBucket,
        now: Timestamp,
    ) -> Result<Attempt, ApiError> {
        let window = (tenant.clone(), bucket);
        if self.limited.get(&window).is_some_and(|until| until > now) {
            // The figures may have been raised, the key revoked: a look tells, without another write.
            let Some(access) = self.tenants.access(&tenant).await? else {
                return Ok(Attempt::Denied(AccessDenied::InvalidKey));
            };
            if let Err(denied) = access.open(key, now) {
                return Ok(Attempt::Denied(denied));
            }
            let rate_limit = access.rate_limit(bucket);
            if rate_limit.is_used_up(now) {
                telemetry::note_tenant(&tenant);
                return Ok(Attempt::RateLimited(rate_limit));
            }
        }
        let admission = self.tenants.admit(&tenant, key, bucket, now).await?;
        if !matches!(admission, Admission::Denied(AccessDenied::InvalidKey)) {
            telemetry::note_tenant(&tenant);
        }
        Ok(match admission {
            Admission::Admitted(rate_limit, defaults) => {
                Attempt::Admitted(Tenant { id: tenant, key: key.clone(), defaults }, rate_limit)
            }
            Admission::RateLimited(rate_limit) => {
                self.limited.put(window, rate_limit.resets_at);
                Attempt::RateLimited(rate_limit)
            }
            Admission::Denied(denied) => Attempt::Denied(denied),
        })
    }

    /// Holds an open socket to what let it in: its key still opens the gate, or did [`RECHECK`] ago.
    ///
    /// # Errors
    ///
    /// `CONNECTION_CLOSING`.
    pub async fn recheck(&self, tenant: &TenantId, key: &KeyHash, now: Timestamp) -> Result<(), ApiError> {
        let grant = (tenant.clone(), key.clone());
        if self.seen_open.get(&grant).is_some_and(|seen| seen.plus(RECHECK) > now) {
            return Ok(());
        }
        self.open(tenant, key, now).await?.map_err(AccessDenied::closing)?;
        self.seen_open.put(grant, now);
        Ok(())
    }

    /// A tenant's gate, read now, if this key opens it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn open(
        &self,
        tenant: &TenantId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<Result<TenantAccess, AccessDenied>, StorageError> {
        let access = self.tenants.access(tenant).await?.ok_or(AccessDenied::InvalidKey);
        let opened = access.and_then(|access| access.open(key, now).map(|()| access));
        if !matches!(opened, Err(AccessDenied::InvalidKey)) {
            telemetry::note_tenant(tenant);
        }
        Ok(opened)
    }

    /// Finds out whose key this is, not yet whether it still opens the gate.
    ///
    /// # Errors
    ///
    /// `MISSING_API_KEY`, `INVALID_API_KEY`.
    pub async fn identify(&self, key: Option<&str>) -> Result<(TenantId, KeyHash), ApiError> {
        let key = readable(key)?;
        let tenant = match self.owners.get(&key) {
            Some(tenant) => tenant,
            None => self.owner_of(&key).await?,
        };
        Ok((tenant, key))
    }

    /// Forgets whose key this is, after it did not open its tenant's gate: it may have moved to another tenant, which
    /// [`identify`](Self::identify) then finds out.
    pub fn forget(&self, key: &KeyHash) {
        self.owners.forget(key);
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
}

impl Attempt {
    fn into_result(self, now: Timestamp) -> Result<Admitted, ApiError> {
        match self {
            Self::Admitted(tenant, rate_limit) => Ok((Ok(tenant), Some(rate_limit))),
            Self::RateLimited(rate_limit) => Ok((Err(rate_limit.exceeded(now)), Some(rate_limit))),
            Self::Denied(denied) => Err(denied.into()),
        }
    }
}

/// What a process remembers: not for ever, and never what only the tables can know.
#[derive(Debug)]
struct Memory<K, V>(Arc<Mutex<HashMap<K, V>>>);

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.entries().get(key).cloned()
    }

    fn put(&self, key: K, value: V) {
        let mut entries = self.entries();
        if entries.len() >= REMEMBERED {
            entries.clear();
        }
        entries.insert(key, value);
    }

    fn forget(&self, key: &K) {
        self.entries().remove(key);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Clone for Memory<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl AccessDenied {
    /// What a socket is told that is closed because of it.
    #[must_use]
    pub fn closing(self) -> ApiError {
        let (message, suggestion) = match self {
            Self::InvalidKey => (
                "The API key that opened this connection is not valid any more.",
                "Connect again with a key that is; it may have been revoked or have expired.",
            ),
            Self::Suspended => {
                ("Your tenant is suspended.", "Ask whoever runs this service to resume it, then connect again.")
            }
        };
        ApiError::new(Code::ConnectionClosing, message, suggestion)
    }
}

impl From<AccessDenied> for ApiError {
    fn from(denied: AccessDenied) -> Self {
        match denied {
            AccessDenied::InvalidKey => invalid_key(),
            AccessDenied::Suspended => Self::new(
                Code::TenantSuspended,
                "Your tenant is suspended.",
                "Ask whoever runs this service to resume it.",
            ),
        }
    }
}

fn readable(key: Option<&str>) -> Result<KeyHash, ApiError> {
    let key = ApiKey::new(key.filter(|key| !key.is_empty()).ok_or_else(missing_key)?);
    if key.is_plausible() { Ok(key.hash()) } else { Err(invalid_key()) }
}

fn missing_key() -> ApiError {
    ApiError::new(
        Code::MissingApiKey,
        "No API key was sent.",
        "Send your tenant's API key in the header X-API-Key; when opening a WebSocket, the query parameter api_key \
         or a ticket will do.",
    )
}

fn invalid_key() -> ApiError {
    ApiError::new(
        Code::InvalidApiKey,
        "This API key is not valid.",
        "Check the key; it may have been revoked or have expired.",
    )
}
