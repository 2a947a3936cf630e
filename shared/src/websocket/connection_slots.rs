//! ConnectionSlots of connections: how many sockets a tenant may have open, and how leases that are lost come back.
//!
//! `$disconnect` is best effort and processes die at any point, so a count that goes up and down with connects and
//! disconnects would leak until a tenant is locked out; and once it is off, nobody can tell by how much while others come
//! and go. So leases have names, which follow from their sockets, and the tenant's leases are the set of these names. A
//! socket takes its lease, then it is noted; when it ends, what was noted is removed, then the lease is given back. Each of
//! these writes may be sent twice or break off, and the table still says what is wrong:
//!
//! - a lease whose socket is noted, but is over or not known to API Gateway any more: the socket ends, and its lease;
//! - a lease without a socket, older than any function may run: whoever took it, or was about to give it back, died in
//!   between, or DynamoDB's TTL removed the socket's items. Nobody will come for it: it is given back.
//!
//! Both are looked for when all leases are taken, before anyone is refused, however many come and go meanwhile.
//! Maintenance gives back those without a socket, and of sockets that are over, sooner than anyone needs them. Nothing else
//! makes room, so there are never more sockets than leases, nor more leases than the limit.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream};

use crate::{
    domain::{error::ApiError, id::TenantId, limits::connection_limit_exceeded, time::Timestamp},
    storage::{Connection, ConnectionSlot, Connections, StorageError},
    websocket::Publisher,
};

/// How often a tenant's sockets may be looked at; and how old a socket must be for that, since one that is just being
/// opened cannot be reached yet, nor need it be noted. Longer than a handshake may take (9 s, see `budget`).
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(12);

/// How many sockets are looked at at once.
const PROBES_AT_ONCE: usize = 16;

/// Those of a tenant's leases, read before its sockets, that no socket stands behind; but for young ones.
pub(crate) fn without_socket(
    leases: BTreeSet<ConnectionSlot>,
    noted: &[Connection],
    settled: Timestamp,
) -> Vec<ConnectionSlot> {
    let standing: BTreeSet<ConnectionSlot> = noted.iter().map(Connection::lease).collect();
    leases.into_iter().filter(|lease| lease.taken_at() <= settled && !standing.contains(lease)).collect()
}

/// The book of leases.
#[derive(Clone, Debug)]
pub struct ConnectionSlots {
    connections: Connections,
    publisher: Publisher,
}

impl ConnectionSlots {
    /// Keeps the leases of these connections.
    #[must_use]
    pub fn new(connections: Connections, publisher: Publisher) -> Self {
        Self { connections, publisher }
    }

    /// Takes the lease of a socket that wants to open, of so many that its tenant may have.
    ///
    /// # Errors
    ///
    /// `CONNECTION_LIMIT_EXCEEDED` when all are taken by sockets that live.
    pub async fn take(&self, connection: &Connection, limit: u32, now: Timestamp) -> Result<(), ApiError> {
        let taken = self.connections.lease(connection, limit).await?
            || (self.heal(&connection.grant.tenant_id, now).await?
                && self.connections.lease(connection, limit).await?);
        if taken { Ok(()) } else { Err(connection_limit_exceeded(limit)) }
    }

    /// Takes back the leases of sockets that are gone. True when there were some.
    async fn heal(&self, tenant: &TenantId, now: Timestamp) -> Result<bool, StorageError> {
        // The leases are read before the sockets: what is noted in between is young, and stays.
        let Some(leases) = self.connections.claim_probe(tenant, PROBE_INTERVAL, now).await? else { return Ok(false) };
        let settled = now.minus(PROBE_INTERVAL);
        let noted = self.connections.of_tenant(tenant).await?;
        let mut lost = without_socket(leases, &noted, settled);

        let mut looks = stream::iter(noted)
            .map(|connection| async move { self.end_if_gone(connection, settled, now).await })
            .buffer_unordered(PROBES_AT_ONCE);
        while let Some(ended) = looks.next().await {
            lost.extend(ended?);
        }
        self.connections.release(tenant, &lost).await?;
        Ok(!lost.is_empty())
    }

    /// Removes what is noted of a socket that is gone; returns its lease then, to be given back.
    async fn end_if_gone(
        &self,
        connection: Connection,
        settled: Timestamp,
        now: Timestamp,
    ) -> Result<Option<ConnectionSlot>, StorageError> {
        let is_gone = connection.expires_at <= now
            || (connection.opened_at <= settled && self.publisher.is_gone(&connection.connection_id).await);
        if !is_gone {
            return Ok(None);
        }
        self.connections.remove(&connection).await?;
        Ok(Some(connection.lease()))
    }
}
