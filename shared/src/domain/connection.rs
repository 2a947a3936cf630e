//! WebSocket connections: what opened one, and the slot that it takes of its tenant's limit.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};

use crate::domain::{
    api_key::KeyHash,
    id::{ChatId, ConnectionId, TenantId, UserId},
    time::Timestamp,
};

/// API Gateway ends every connection after two hours.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// An open connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// API Gateway's id of the connection.
    pub connection_id: ConnectionId,
    /// Its tenant, key, user and chat.
    pub grant: ConnectionGrant,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When API Gateway ends it at the latest.
    pub expires_at: Timestamp,
    /// Whether `connection_established` was posted; no other event may be posted before.
    pub established: bool,
}

/// What a connection was opened with: tenant, key, user and chat.
///
/// It holds a [`TenantId`], so that only storage makes one from stored text:
///
/// ```compile_fail,E0277
/// let forged: shared::domain::connection::ConnectionGrant = serde_json::from_str("{}").expect("does not compile");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionGrant {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The hash of the key that opened the connection or created its ticket. The connection ends once it is refused.
    pub key: KeyHash,
    /// The user.
    pub user_id: UserId,
    /// The chat.
    pub chat_id: ChatId,
}

/// The name of a connection's slot: when it was taken, in milliseconds since the epoch, followed by six digits of the
/// hash of the connection's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionSlot(u64);

impl Connection {
    /// A connection that opens now.
    #[must_use]
    pub fn open(id: ConnectionId, grant: ConnectionGrant, now: Timestamp) -> Self {
        Self { connection_id: id, grant, opened_at: now, expires_at: now.plus(LIFETIME), established: false }
    }

    /// The connection's slot. Its name follows from the connection, so neither has to store the other's.
    #[must_use]
    pub fn slot(&self) -> ConnectionSlot {
        ConnectionSlot::new(&self.connection_id, self.opened_at)
    }
}

impl ConnectionSlot {
    /// Decimal digits that tell apart the slots of one millisecond.
    const HASH_DIGITS: u64 = 1_000_000;

    fn new(id: &ConnectionId, taken_at: Timestamp) -> Self {
        let hash = Sha256::digest(id.as_str());
        let digits = hash.iter().take(4).fold(0, |digits, byte| digits << 8 | u64::from(*byte)) % Self::HASH_DIGITS;
        Self(taken_at.millis_since(Timestamp::from_millis(0)) * Self::HASH_DIGITS + digits)
    }

    /// Reads a name; `None` when it is not a number.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// When the slot was taken.
    #[must_use]
    pub fn taken_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0 / Self::HASH_DIGITS).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for ConnectionSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::ApiKey;

    #[test]
    fn slot_name_holds_its_time_and_differs_between_connections() {
        let grant = ConnectionGrant {
            tenant_id: TenantId::generate(),
            key: ApiKey::new("x").hash(),
            user_id: UserId::parse("u").expect("a user"),
            chat_id: ChatId::generate(),
        };
        let now = Timestamp::from_millis(1_769_851_800_120);
        let slot = |id: &str| Connection::open(ConnectionId::from_gateway(id), grant.clone(), now).slot();
        assert_eq!(slot("a").taken_at(), now);
        assert_eq!(slot("a"), slot("a"));
        assert_ne!(slot("a"), slot("b"));
        assert_eq!(ConnectionSlot::parse(&slot("a").to_string()), Some(slot("a")));
        assert_eq!(ConnectionSlot::parse("x"), None);
    }
}
