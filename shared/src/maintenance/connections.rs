//! ChatConnections of those who may not have one any more, and leases of sockets that are gone.
//!
//! A suspension and a revocation close sockets themselves, and a socket that they missed is closed when it speaks; a key
//! that expires closes none, and a socket may stay silent. API Gateway is not asked whether all the others live: those that
//! are gone without `$disconnect` are over after two hours, and found before when their tenant needs the lease.

use futures_util::future::join_all;

use super::{Run, sweep::SweepResult};
use crate::{
    domain::id::TenantId,
    storage::{Connection, QueueEntry, StorageError, TenantAccess},
    websocket::connection_slots::{PROBE_INTERVAL, without_connection},
};

/// How many sockets of a tenant are closed at once.
const AT_ONCE: usize = 16;

impl Run<'_> {
    pub(super) async fn sockets(&self) -> Result<(), StorageError> {
        self.round(&self.house.sockets.connections.agenda(), async |due| self.sockets_of(due).await).await
    }

    async fn sockets_of(&self, due: &QueueEntry<TenantId>) -> Result<SweepResult, StorageError> {
        let (tenant, connections) = (&due.what, &self.house.sockets.connections);
        // One that is just being opened looks after itself, and cannot be reached yet.
        let settled = self.now.minus(PROBE_INTERVAL);
        let access = self.house.tenants.access(tenant).await?;
        // The leases are read before the sockets: what is noted in between is young, and stays.
        let leases = connections.leases(tenant).await?;
        let noted = connections.of_tenant(tenant).await?;
        let taken = leases.len();
        let mut lost = without_connection(leases, &noted, settled);

        let (over, open): (Vec<Connection>, Vec<Connection>) = noted
            .into_iter()
            .filter(|socket| socket.opened_at <= settled)
            .partition(|socket| socket.expires_at <= self.now);
        let closed = self.close_shut_out(access.as_ref(), &open).await;
        for socket in over.iter().chain(&closed) {
            connections.remove(socket).await?;
            lost.push(socket.lease());
        }
        connections.release(tenant, &lost).await?;
        self.tally.count(|done| {
            done.leases_freed += lost.len() as u64;
            done.sockets_closed += closed.len() as u64;
        });
        connections.settle(due, lost.len() < taken, self.now).await?;
        Ok(SweepResult::Complete)
    }

    /// Closes those sockets that do not open their tenant's gate any more, as far as there is time: there may be a thousand,
    /// none of which answers. Returns those that are closed for sure.
    async fn close_shut_out(&self, access: Option<&TenantAccess>, open: &[Connection]) -> Vec<Connection> {
        let (denied_connections, reason) = TenantAccess::denied_connections(access, open, self.now);
        let publisher = &self.house.sockets.publisher;
        let mut closed = Vec::new();
        for some in denied_connections.chunks(AT_ONCE) {
            if self.is_over() {
                break;
            }
            publisher.close_all(some, &reason.closing(), self.request_id).await;
            let gone = join_all(some.iter().map(|socket| publisher.is_gone(&socket.connection_id))).await;
            closed.extend(some.iter().zip(gone).filter(|(_, gone)| *gone).map(|(socket, _)| socket.clone()));
        }
        closed
    }
}
