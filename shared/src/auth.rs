//! Authentication: API key → tenant → may it come in?

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    api_key::{ApiKey, KeyHash},
    error::{ApiError, Code},
    id::TenantId,
    store::{StoreError, TenantStatus, Tenants},
};

/// Where the key is sent.
pub const API_KEY_HEADER: &str = "x-api-key";

/// How many keys a process remembers the owners of.
const REMEMBERED: usize = 10_000;

/// Lets tenants in by their keys.
#[derive(Clone, Debug)]
pub struct Doorkeeper {
    tenants: Tenants,
    /// Whose key it is never changes, so it may be remembered; whether the key still opens the gate is read each time.
    owners: Arc<Mutex<HashMap<KeyHash, TenantId>>>,
}

impl Doorkeeper {
    /// Guards these tenants.
    #[must_use]
    pub fn new(tenants: Tenants) -> Self {
        Self { tenants, owners: Arc::default() }
    }

    /// Finds the tenant that a key opens the gate for.
    ///
    /// # Errors
    ///
    /// `MISSING_API_KEY`, `INVALID_API_KEY`, `TENANT_SUSPENDED`.
    pub async fn admit(&self, key: Option<&str>) -> Result<TenantId, ApiError> {
        let key = key.filter(|key| !key.is_empty()).ok_or_else(missing_key)?;
        let key = ApiKey::new(key).hash();
        let tenant = self.owner_of(&key).await?.ok_or_else(invalid_key)?;
        let gate = self.tenants.gate(&tenant).await?.ok_or_else(invalid_key)?;
        if !gate.opens_with(&key) {
            return Err(invalid_key());
        }
        match gate.status {
            TenantStatus::Active => Ok(tenant),
            TenantStatus::Suspended => Err(ApiError::new(
                Code::TenantSuspended,
                "Your tenant is suspended.",
                "Ask whoever runs this service to resume it.",
            )),
        }
    }

    async fn owner_of(&self, key: &KeyHash) -> Result<Option<TenantId>, StoreError> {
        if let Some(tenant) = self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Ok(Some(tenant.clone()));
        }
        let owner = self.tenants.owner_of(key).await?;
        if let Some(tenant) = &owner {
            let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            if owners.len() >= REMEMBERED {
                owners.clear();
            }
            owners.insert(key.clone(), tenant.clone());
        }
        Ok(owner)
    }
}

fn missing_key() -> ApiError {
    ApiError::new(
        Code::MissingApiKey,
        "No API key was sent.",
        "Send your tenant's API key in the header X-API-Key; when opening a WebSocket, the query parameter api_key \
         will do.",
    )
}

fn invalid_key() -> ApiError {
    ApiError::new(
        Code::InvalidApiKey,
        "This API key is not valid.",
        "Check the key; it may have been revoked or have expired.",
    )
}
