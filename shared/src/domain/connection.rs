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

/// A connection's slot of its tenant's limit, and the chat of whose limit it is one, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSlot {
    /// Its name.
    pub name: SlotName,
    /// Its chat; `None` for a slot taken by a release that had no limit for chats.
    pub chat: Option<SlotChat>,
}

/// The name of a connection's slot: when it was taken, in milliseconds since the epoch, followed by six digits of the
/// hash of the connection's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotName(u64);

/// A chat as slots name it: the last ten characters of its id. They are random, 50 bits, and tell apart the chats of one
/// tenant at a third of the id's size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotChat(String);

impl Connection {
    /// A connection that opens now.
    #[must_use]
    pub fn open(id: ConnectionId, grant: ConnectionGrant, now: Timestamp) -> Self {
        Self { connection_id: id, grant, opened_at: now, expires_at: now.plus(LIFETIME), established: false }
    }

    /// The connection's slot. It follows from the connection, so neither has to store the other's name.
    #[must_use]
    pub fn slot(&self) -> ConnectionSlot {
        let name = SlotName::new(&self.connection_id, self.opened_at);
        ConnectionSlot { name, chat: Some(SlotChat::of(&self.grant.chat_id)) }
    }
}

impl SlotName {
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

impl SlotChat {
    const CHARS: usize = 10;

    /// The name of this chat.
    #[must_use]
    pub fn of(chat: &ChatId) -> Self {
        let id = chat.as_str();
        Self(id.get(id.len().saturating_sub(Self::CHARS)..).unwrap_or(id).to_owned())
    }

    /// Reads a stored name.
    pub(crate) fn from_row(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SlotChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
            chat_id: ChatId::parse("chat_01M88DPG46PV303C71PFM84WB7").expect("a chat"),
        };
        let now = Timestamp::from_millis(1_769_851_800_120);
        let slot = |id: &str| Connection::open(ConnectionId::from_gateway(id), grant.clone(), now).slot();
        assert_eq!(slot("a").name.taken_at(), now);
        assert_eq!(slot("a"), slot("a"));
        assert_ne!(slot("a"), slot("b"));
        assert_eq!(SlotName::parse(&slot("a").name.to_string()), Some(slot("a").name));
        assert_eq!(SlotName::parse("x"), None);
        assert_eq!(slot("a").chat.map(|chat| chat.to_string()).as_deref(), Some("71PFM84WB7"));
    }
}
