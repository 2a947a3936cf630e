//! Releases orphaned connection slots, and closes connections whose key grants no access any more.
//!
//! A suspension and a revocation close connections themselves, and a frame on a connection that they missed closes it.
//! The sweep finds what is left: silent connections, and keys that expire, which closes nothing. It does not ask API
//! Gateway whether the other connections are alive: those that ended without `$disconnect` expire after two hours, and
//! are found earlier when their tenant needs the slot.

use futures_util::future::join_all;

use super::sweep::{Sweep, SweepResult};
use crate::{
    domain::{connection::Connection, id::TenantId, tenant::TenantAccess},
    storage::{QueueEntry, StorageError},
    websocket::connection_slots::{PROBE_INTERVAL, without_connection},
};

/// How many connections of a tenant are closed concurrently.
const CONCURRENT_CLOSES: usize = 16;

pub(super) async fn sweep(sweep: &Sweep<'_>) -> Result<(), StorageError> {
    let queue = sweep.maintenance.sockets.connections.slots().maintenance_queue();
    sweep.process(&queue, async |entry| process_tenant(sweep, entry).await).await
}

async fn process_tenant(sweep: &Sweep<'_>, entry: &QueueEntry<TenantId>) -> Result<SweepResult, StorageError> {
    let (tenant, connections) = (&entry.id, &sweep.maintenance.sockets.connections);
    // A connection that is opening checks its access itself, and cannot be reached yet.
    let settled = sweep.now.minus(PROBE_INTERVAL);
    let access = sweep.maintenance.tenants.access(tenant).await?;
    // Slots are read before connections: a connection stored in between is young, and its slot is kept.
    let slots = connections.slots().list(tenant).await?;
    let stored = connections.list_by_tenant(tenant).await?;
    let slot_count = slots.len();
    let mut orphaned = without_connection(slots, &stored, settled);

    let (expired, open): (Vec<Connection>, Vec<Connection>) = stored
        .into_iter()
        .filter(|connection| connection.opened_at <= settled)
        .partition(|connection| connection.expires_at <= sweep.now);
    let closed = close_denied(sweep, access.as_ref(), &open).await;
    for connection in expired.iter().chain(&closed) {
        connections.delete(connection).await?;
        orphaned.push(connection.slot());
    }
    connections.slots().release(tenant, &orphaned).await?;
    sweep.counter.update(|report| {
        report.connection_slots_released += orphaned.len() as u64;
        report.connections_closed += closed.len() as u64;
    });
    connections.slots().dequeue_or_postpone(entry, orphaned.len() < slot_count, sweep.now).await?;
    Ok(SweepResult::Complete)
}

/// Closes the connections whose key grants no access any more, as far as there is time: there may be a thousand that do
/// not respond. Returns those that API Gateway confirms as closed.
async fn close_denied(sweep: &Sweep<'_>, access: Option<&TenantAccess>, open: &[Connection]) -> Vec<Connection> {
    let (denied, reason) = TenantAccess::denied_connections(access, open, sweep.now);
    let publisher = &sweep.maintenance.sockets.publisher;
    let mut closed = Vec::new();
    for batch in denied.chunks(CONCURRENT_CLOSES) {
        if sweep.must_stop() {
            break;
        }
        publisher.close_all(batch, &reason.closing(), sweep.request_id).await;
        let gone = join_all(batch.iter().map(|connection| publisher.is_gone(&connection.connection_id))).await;
        closed.extend(batch.iter().zip(gone).filter(|(_, gone)| *gone).map(|(connection, _)| connection.clone()));
    }
    closed
}
