//! Sockets of those who may not have one any more, and leases of sockets that are gone.
//!
//! A suspension and a revocation close sockets themselves, and a socket that they missed is closed when it speaks; a key
//! that expires closes none, and a socket may stay silent. API Gateway is not asked whether all the others live: those that
//! are gone without `$disconnect` are over after two hours, and found before when their tenant needs the lease.

use super::{Run, round::Came};
use crate::{
    id::TenantId,
    leases::{PROBE_INTERVAL, without_socket},
    store::{Connection, Due, Gate, StoreError},
};

impl Run<'_> {
    pub(super) async fn sockets(&self) -> Result<(), StoreError> {
        self.round(&self.house.sockets.connections.agenda(), async |due| self.sockets_of(due).await).await
    }

    async fn sockets_of(&self, due: &Due<TenantId>) -> Result<Came, StoreError> {
        let (tenant, connections) = (&due.what, &self.house.sockets.connections);
        // One that is just being opened looks after itself, and cannot be reached yet.
        let settled = self.now.minus(PROBE_INTERVAL);
        let gate = self.house.tenants.gate(tenant).await?;
        // The leases are read before the sockets: what is noted in between is young, and stays.
        let leases = connections.leases(tenant).await?;
        let noted = connections.of_tenant(tenant).await?;
        let taken = leases.len();
        let mut lost = without_socket(leases, &noted, settled);

        let (over, open): (Vec<Connection>, Vec<Connection>) = noted
            .into_iter()
            .filter(|socket| socket.opened_at <= settled)
            .partition(|socket| socket.expires_at <= self.now);
        let closed = self.close_shut_out(gate.as_ref(), &open).await;
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
        Ok(Came::Through)
    }

    /// Closes those sockets that do not open their tenant's gate any more; returns those that are closed for sure.
    async fn close_shut_out(&self, gate: Option<&Gate>, open: &[Connection]) -> Vec<Connection> {
        let (shut_out, reason) = Gate::shut_out(gate, open, self.now);
        let publisher = &self.house.sockets.publisher;
        publisher.close_all(&shut_out, &reason.closing(), self.request_id).await;
        let mut closed = Vec::new();
        for socket in shut_out {
            if publisher.is_gone(&socket.connection_id).await {
                closed.push(socket);
            }
        }
        closed
    }
}
