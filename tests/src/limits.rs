//! Limits for tests of something else.

use shared::{
    domain::{
        connection::Connection,
        limits::{ConnectionLimits, Limits},
    },
    storage::{ConnectionRepository, SlotAdmission},
};

/// Limits of a tenant that no unrelated test reaches, except for 50 connections.
#[must_use]
pub fn unreached_limits() -> Limits {
    Limits {
        rest_per_minute: 100_000,
        connects_per_minute: Some(100_000),
        connections_per_chat: Some(Limits::MAX_CONNECTIONS),
        ..Limits::default()
    }
}

/// Takes the slot of a connection of a tenant that may have `limit` connections, and any number in a chat and a minute.
/// Returns false when there is none.
pub async fn take_slot(connections: &ConnectionRepository, connection: &Connection, limit: u32) -> bool {
    let limits = ConnectionLimits { connections: limit, connections_per_chat: u32::MAX, connects_per_minute: u32::MAX };
    let admission = connections.slots().take(connection, limits).await.expect("DynamoDB responds");
    admission == SlotAdmission::Taken
}
