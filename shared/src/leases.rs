//! Leases of connections: how many sockets a tenant has open, and how the count heals itself.
//!
//! `$disconnect` is best effort, so a count that goes up and down with connects and disconnects would leak until a
//! tenant is locked out. Here the count is of leases that can be taken back: when all are taken, the sockets behind them
//! are looked at, and those that are gone give theirs back before anyone is refused.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::{
    api_key::KeyHash,
    error::ApiError,
    id::TenantId,
    limits::too_many_connections,
    store::{Connection, Connections, Lease, StoreError, Tenants},
    time::Timestamp,
    ws::Publisher,
};

/// How often a tenant's sockets may be looked at; and how old a socket must be for that, since one that is just being
/// opened cannot be reached yet. Longer than a function that connects or disconnects may run (10 s).
const PROBE_INTERVAL: Duration = Duration::from_secs(12);

/// How many sockets are looked at at once.
const PROBES_AT_ONCE: usize = 16;

/// The book of leases.
#[derive(Clone, Debug)]
pub struct Leases {
    tenants: Tenants,
    connections: Connections,
    publisher: Publisher,
}

impl Leases {
    /// Keeps the leases of these tenants' connections.
    #[must_use]
    pub fn new(tenants: Tenants, connections: Connections, publisher: Publisher) -> Self {
        Self { tenants, connections, publisher }
    }

    /// Takes a lease for a socket that wants to open.
    ///
    /// # Errors
    ///
    /// `CONNECTION_LIMIT_EXCEEDED` when all are taken by sockets that live; `INVALID_API_KEY`, `TENANT_SUSPENDED`.
    pub async fn take(&self, tenant: &TenantId, key: &KeyHash, now: Timestamp) -> Result<(), ApiError> {
        let mut lease = self.tenants.lease(tenant, key, now).await?;
        if matches!(lease, Lease::Full(_)) && self.heal(tenant, now).await? {
            lease = self.tenants.lease(tenant, key, now).await?;
        }
        match lease {
            Lease::Taken => Ok(()),
            Lease::Full(limit) => Err(too_many_connections(limit)),
            Lease::Shut(shut) => Err(shut.into()),
        }
    }

    /// Gives back the lease of a socket that did not open after all.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn give_back(&self, tenant: &TenantId, now: Timestamp) -> Result<(), StoreError> {
        self.tenants.release(tenant, 1, now).await
    }

    /// Ends the lease of a socket that is gone. Of several that try, one does.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn end(&self, connection: &Connection, now: Timestamp) -> Result<bool, StoreError> {
        let Some(removed) = self.connections.remove(&connection.connection_id).await? else {
            // Someone else died, or is, between the two items.
            self.connections.remove_from_tenant(connection).await?;
            return Ok(false);
        };
        self.tenants.release(&removed.pass.tenant_id, 1, now).await?;
        Ok(true)
    }

    /// Takes back the leases of sockets that are gone. True when it is worth trying again.
    async fn heal(&self, tenant: &TenantId, now: Timestamp) -> Result<bool, StoreError> {
        let settled = Timestamp::from_millis(now.as_millis() - PROBE_INTERVAL.as_millis() as i64);
        let Some(before) = self.tenants.claim_probe(tenant, settled, now).await? else { return Ok(false) };
        let noted = self.connections.of_tenant(tenant).await?;
        let total = noted.len();
        let ended: Vec<bool> = stream::iter(noted)
            .map(|connection| async move {
                if self.is_gone(&connection, settled, now).await { self.end(&connection, now).await } else { Ok(false) }
            })
            .buffer_unordered(PROBES_AT_ONCE)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        let freed = ended.iter().filter(|ended| **ended).count();
        let left = u32::try_from(total - freed).unwrap_or(u32::MAX);
        // A process that died between the count and the socket's item leaves a lease that no socket stands behind.
        let recount = freed == 0 && before.was_still_with(left) && before.connections() != left;
        let recounted = self.tenants.conclude_probe(tenant, &before, left, recount).await?;
        Ok(freed > 0 || recounted)
    }

    async fn is_gone(&self, connection: &Connection, settled: Timestamp, now: Timestamp) -> bool {
        if connection.expires_at <= now {
            return true;
        }
        connection.opened_at <= settled && self.publisher.is_gone(&connection.connection_id).await
    }
}
