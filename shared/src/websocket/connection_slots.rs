//! Connection slots: how many connections a tenant and each chat may have open, and how slots that were lost are
//! reclaimed.
//!
//! `$disconnect` is best effort and processes die at any point. A counter of connections would drift until a tenant is
//! locked out, and nothing could tell by how much while other connections come and go. So each slot has a name that
//! follows from its connection, and the tenant's slots are the set of these names. A connection takes its slot, then it is
//! stored; when it ends, it is removed, then its slot is released. Each of these writes may run twice or not at all, and
//! the table still shows what is wrong:
//!
//! - the slot of a stored connection that has expired or that API Gateway does not know: both are removed;
//! - a slot without a stored connection, older than a handshake may take: its process died in between, or DynamoDB's TTL
//!   removed the connection. The slot is released.
//!
//! Both are searched when all slots of the tenant or of the chat are taken, before a connection is refused. Maintenance
//! does the same for slots without a connection and for expired connections. No other code releases the slot of a
//! connection that it did not end itself, so a tenant never has more connections than slots, nor more slots than its limit; neither has a chat.
//!
//! The write that takes a slot also counts the tenant's connects of the minute.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream};

use super::publisher::Publisher;
use crate::{
    domain::{
        connection::{Connection, ConnectionSlot, SlotName},
        error::ApiError,
        id::{ConnectionId, TenantId},
        limits::{ConnectionLimits, chat_connection_limit_exceeded, connect_rate_exceeded, connection_limit_exceeded},
        time::Timestamp,
    },
    runtime::cache::Cache,
    storage::{ConnectionRepository, SlotAdmission, StorageError},
};

/// How often a tenant's connections may be probed, and how old a connection must be: a younger one may not be reachable or
/// stored yet. Longer than `$connect` may take (9 s, [`RESPONSE_DEADLINE`](crate::runtime::deadline::RESPONSE_DEADLINE)).
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_secs(12);

/// How many connections are probed at a time.
const CONCURRENT_PROBES: usize = 16;

/// The slots, read before `stored`, that have no stored connection and are older than `settled`.
pub(crate) fn without_connection(
    slots: Vec<ConnectionSlot>,
    stored: &[Connection],
    settled: Timestamp,
) -> Vec<ConnectionSlot> {
    let used: BTreeSet<SlotName> = stored.iter().map(|connection| connection.slot().name).collect();
    slots.into_iter().filter(|slot| slot.name.taken_at() <= settled && !used.contains(&slot.name)).collect()
}

/// Takes connection slots.
#[derive(Clone, Debug)]
pub struct ConnectionSlots {
    connections: ConnectionRepository,
    publisher: Publisher,
    /// The limit of connects a minute that a tenant has reached, and until when. A refused write costs as much as a
    /// successful one. Full tenants and chats are not remembered: a slot may become free at any moment.
    limited_until: Cache<TenantId, (u32, Timestamp)>,
}

impl ConnectionSlots {
    /// Takes slots in this table, and probes connections through this publisher.
    #[must_use]
    pub fn new(connections: ConnectionRepository, publisher: Publisher) -> Self {
        Self { connections, publisher, limited_until: Cache::default() }
    }

    /// Takes the slot of a connection that opens, and counts it against the connects of this minute. A refused connect is
    /// not counted.
    ///
    /// # Errors
    ///
    /// `RATE_LIMIT_EXCEEDED` when the tenant has opened its connections of this minute, `CONNECTION_LIMIT_EXCEEDED` when
    /// live connections use all slots of the tenant or of the chat.
    pub async fn take(
        &self,
        connection: &Connection,
        limits: ConnectionLimits,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let (tenant, limit) = (&connection.grant.tenant_id, limits.connects_per_minute);
        // An operator who changes the limit changes what is remembered.
        if let Some((reached, ends_at)) = self.limited_until.get(tenant)
            && reached == limit
            && ends_at > now
        {
            return Err(connect_rate_exceeded(limit, ends_at, now));
        }
        let admission = take(self, connection, limits, now).await?;
        if let SlotAdmission::RateLimited { ends_at } = admission {
            self.limited_until.put(tenant.clone(), (limit, ends_at));
        }
        refusal(admission, connection, limits, now).map_or(Ok(()), Err)
    }
}

/// The error for a connection that did not get its slot.
fn refusal(
    admission: SlotAdmission,
    connection: &Connection,
    limits: ConnectionLimits,
    now: Timestamp,
) -> Option<ApiError> {
    match admission {
        SlotAdmission::Taken => None,
        SlotAdmission::RateLimited { ends_at } => Some(connect_rate_exceeded(limits.connects_per_minute, ends_at, now)),
        SlotAdmission::TenantFull { .. } => Some(connection_limit_exceeded(limits.connections)),
        SlotAdmission::ChatFull { .. } => {
            Some(chat_connection_limit_exceeded(limits.connections_per_chat, &connection.grant.chat_id))
        }
    }
}

/// What taking and reclaiming slots needs of the table and of API Gateway. Tests keep it in memory.
trait SlotBackend {
    async fn take(&self, connection: &Connection, limits: ConnectionLimits) -> Result<SlotAdmission, StorageError>;

    /// The tenant's slots, if no other process has probed within [`PROBE_INTERVAL`].
    async fn claim_probe(&self, tenant: &TenantId, now: Timestamp)
    -> Result<Option<Vec<ConnectionSlot>>, StorageError>;

    async fn stored_connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StorageError>;

    async fn is_gone(&self, socket: &ConnectionId) -> bool;

    async fn remove(&self, connection: &Connection) -> Result<(), StorageError>;

    async fn release(&self, tenant: &TenantId, slots: &[ConnectionSlot]) -> Result<(), StorageError>;
}

impl SlotBackend for ConnectionSlots {
    async fn take(&self, connection: &Connection, limits: ConnectionLimits) -> Result<SlotAdmission, StorageError> {
        self.connections.slots().take(connection, limits).await
    }

    async fn claim_probe(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Option<Vec<ConnectionSlot>>, StorageError> {
        self.connections.slots().claim_probe(tenant, PROBE_INTERVAL, now).await
    }

    async fn stored_connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StorageError> {
        self.connections.list_by_tenant(tenant).await
    }

    async fn is_gone(&self, socket: &ConnectionId) -> bool {
        self.publisher.is_gone(socket).await
    }

    async fn remove(&self, connection: &Connection) -> Result<(), StorageError> {
        self.connections.delete(connection).await
    }

    async fn release(&self, tenant: &TenantId, slots: &[ConnectionSlot]) -> Result<(), StorageError> {
        self.connections.slots().release(tenant, slots).await
    }
}

async fn take(
    backend: &impl SlotBackend,
    connection: &Connection,
    limits: ConnectionLimits,
    now: Timestamp,
) -> Result<SlotAdmission, StorageError> {
    let admission = backend.take(connection, limits).await?;
    let (limit, probed_at) = match admission {
        SlotAdmission::Taken | SlotAdmission::RateLimited { .. } => return Ok(admission),
        SlotAdmission::TenantFull { probed_at } => (limits.connections, probed_at),
        SlotAdmission::ChatFull { probed_at } => (limits.connections_per_chat, probed_at),
    };
    let may_help = limit > 0 && probed_at.is_none_or(|probed_at| probed_at <= now.minus(PROBE_INTERVAL));
    if may_help && reclaim(backend, &connection.grant.tenant_id, now).await? {
        backend.take(connection, limits).await
    } else {
        Ok(admission)
    }
}

/// Releases the slots of connections that are gone. True when there were some.
async fn reclaim(backend: &impl SlotBackend, tenant: &TenantId, now: Timestamp) -> Result<bool, StorageError> {
    // Slots are read before connections: a connection that is stored in between is young, and keeps its slot.
    let Some(slots) = backend.claim_probe(tenant, now).await? else { return Ok(false) };
    let settled = now.minus(PROBE_INTERVAL);
    let stored = backend.stored_connections(tenant).await?;
    let mut lost = without_connection(slots, &stored, settled);

    let mut probes = stream::iter(stored)
        .map(|connection| async move { remove_if_gone(backend, connection, settled, now).await })
        .buffer_unordered(CONCURRENT_PROBES);
    while let Some(removed) = probes.next().await {
        lost.extend(removed?);
    }
    backend.release(tenant, &lost).await?;
    Ok(!lost.is_empty())
}

/// Removes a connection that has expired or is gone. Returns its slot then, for release.
async fn remove_if_gone(
    backend: &impl SlotBackend,
    connection: Connection,
    settled: Timestamp,
    now: Timestamp,
) -> Result<Option<ConnectionSlot>, StorageError> {
    let is_gone = connection.expires_at <= now
        || (connection.opened_at <= settled && backend.is_gone(&connection.connection_id).await);
    if !is_gone {
        return Ok(None);
    }
    backend.remove(&connection).await?;
    Ok(Some(connection.slot()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard};

    use super::*;
    use crate::{
        domain::{
            api_key::ApiKey,
            connection::ConnectionGrant,
            error::Code,
            id::{ChatId, UserId},
        },
        runtime::clock::Clock,
    };

    const LIMITS: ConnectionLimits =
        ConnectionLimits { connections: 3, connections_per_chat: 2, connects_per_minute: 100 };

    #[derive(Default)]
    struct State {
        slots: Vec<ConnectionSlot>,
        claims: u32,
        stored: Vec<Connection>,
        gone: Vec<ConnectionId>,
        probed_at: Option<Timestamp>,
    }

    struct InMemory(Mutex<State>);

    impl InMemory {
        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().expect("no panic")
        }

        fn taken(&self) -> usize {
            self.state().slots.len()
        }
    }

    impl SlotBackend for InMemory {
        async fn take(&self, connection: &Connection, limits: ConnectionLimits) -> Result<SlotAdmission, StorageError> {
            let mut state = self.state();
            let (slot, probed_at) = (connection.slot(), state.probed_at);
            let of_chat = state.slots.iter().filter(|taken| taken.chat == slot.chat).count();
            if state.slots.contains(&slot) {
                return Ok(SlotAdmission::Taken);
            }
            if state.slots.len() >= limits.connections as usize {
                return Ok(SlotAdmission::TenantFull { probed_at });
            }
            if of_chat >= limits.connections_per_chat as usize {
                return Ok(SlotAdmission::ChatFull { probed_at });
            }
            state.slots.push(slot);
            Ok(SlotAdmission::Taken)
        }

        async fn claim_probe(&self, _: &TenantId, now: Timestamp) -> Result<Option<Vec<ConnectionSlot>>, StorageError> {
            let mut state = self.state();
            state.claims += 1;
            if state.probed_at.is_some_and(|probed_at| probed_at > now.minus(PROBE_INTERVAL)) {
                return Ok(None);
            }
            state.probed_at = Some(now);
            Ok(Some(state.slots.clone()))
        }

        async fn stored_connections(&self, _: &TenantId) -> Result<Vec<Connection>, StorageError> {
            Ok(self.state().stored.clone())
        }

        async fn is_gone(&self, socket: &ConnectionId) -> bool {
            self.state().gone.contains(socket)
        }

        async fn remove(&self, connection: &Connection) -> Result<(), StorageError> {
            self.state().stored.retain(|stored| stored.connection_id != connection.connection_id);
            Ok(())
        }

        async fn release(&self, _: &TenantId, slots: &[ConnectionSlot]) -> Result<(), StorageError> {
            self.state().slots.retain(|slot| !slots.contains(slot));
            Ok(())
        }
    }

    struct Fixture {
        backend: InMemory,
        clock: Clock,
        grant: ConnectionGrant,
    }

    impl Fixture {
        fn new() -> Self {
            let grant = ConnectionGrant {
                tenant_id: TenantId::generate(),
                key: ApiKey::new("x").hash(),
                user_id: UserId::parse("u").expect("a user"),
                chat_id: ChatId::generate(),
            };
            let clock = Clock::tokio(Timestamp::from_millis(1_769_851_800_000));
            Self { backend: InMemory(Mutex::default()), clock, grant }
        }

        /// Takes a slot for a connection of a chat of its own, which is not stored yet.
        async fn take(&self, id: &str) -> Result<Connection, Code> {
            self.take_in(&ChatId::generate(), id).await
        }

        async fn take_in(&self, chat: &ChatId, id: &str) -> Result<Connection, Code> {
            let (grant, now) = (ConnectionGrant { chat_id: chat.clone(), ..self.grant.clone() }, self.clock.now());
            let connection = Connection::open(ConnectionId::from_gateway(id), grant, now);
            let admission = take(&self.backend, &connection, LIMITS, now).await.expect("memory does not fail");
            match refusal(admission, &connection, LIMITS, now) {
                Some(error) => Err(error.code()),
                None => Ok(connection),
            }
        }

        async fn connect(&self, id: &str) -> Result<(), Code> {
            self.connect_in(&ChatId::generate(), id).await
        }

        async fn connect_in(&self, chat: &ChatId, id: &str) -> Result<(), Code> {
            let connection = self.take_in(chat, id).await?;
            self.backend.state().stored.push(connection);
            Ok(())
        }

        async fn connect_all(&self) {
            for id in ["a", "b", "c"] {
                assert_eq!(self.connect(id).await, Ok(()));
            }
        }
    }

    async fn wait(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn connection_beyond_the_limit_is_refused() {
        let fixture = Fixture::new();
        fixture.connect_all().await;
        wait(PROBE_INTERVAL * 2).await;
        assert_eq!(fixture.connect("d").await, Err(Code::ConnectionLimitExceeded));
        assert_eq!(fixture.backend.taken(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn gone_connection_gives_its_slot_to_the_next_one() {
        let fixture = Fixture::new();
        fixture.connect_all().await;
        fixture.backend.state().gone.push(ConnectionId::from_gateway("b"));
        wait(PROBE_INTERVAL).await;
        assert_eq!(fixture.connect("d").await, Ok(()));
        assert_eq!(fixture.backend.taken(), 3);
        assert_eq!(fixture.connect("e").await, Err(Code::ConnectionLimitExceeded));
    }

    #[tokio::test(start_paused = true)]
    async fn young_connection_is_not_probed() {
        let fixture = Fixture::new();
        fixture.connect_all().await;
        fixture.backend.state().gone.push(ConnectionId::from_gateway("b"));
        wait(PROBE_INTERVAL - Duration::from_millis(1)).await;
        assert_eq!(fixture.connect("d").await, Err(Code::ConnectionLimitExceeded));
    }

    #[tokio::test(start_paused = true)]
    async fn expired_connection_is_reclaimed_without_a_probe() {
        let fixture = Fixture::new();
        fixture.connect_all().await;
        wait(Duration::from_secs(2 * 60 * 60)).await;
        assert_eq!(fixture.connect("d").await, Ok(()));
        assert_eq!(fixture.backend.taken(), 1, "all three had expired");
    }

    #[tokio::test(start_paused = true)]
    async fn slot_without_a_connection_is_reclaimed_once_it_has_settled() {
        let fixture = Fixture::new();
        for id in ["a", "b"] {
            assert_eq!(fixture.connect(id).await, Ok(()));
        }
        assert!(fixture.take("dies before it is stored").await.is_ok());
        assert_eq!(fixture.connect("c").await, Err(Code::ConnectionLimitExceeded), "it may be stored any moment");
        wait(PROBE_INTERVAL).await;
        assert_eq!(fixture.connect("c").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_probed_at_most_once_per_interval() {
        let fixture = Fixture::new();
        fixture.connect_all().await;
        wait(PROBE_INTERVAL).await;
        assert_eq!(fixture.connect("d").await, Err(Code::ConnectionLimitExceeded));
        fixture.backend.state().gone.push(ConnectionId::from_gateway("b"));
        assert_eq!(fixture.connect("d").await, Err(Code::ConnectionLimitExceeded), "probed a moment ago");
        wait(PROBE_INTERVAL).await;
        assert_eq!(fixture.connect("d").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_connect_does_not_claim_a_probe_that_is_not_due() {
        let fixture = Fixture::new();
        fixture.connect_all().await;
        for id in ["d", "e", "f"] {
            assert_eq!(fixture.connect(id).await, Err(Code::ConnectionLimitExceeded));
        }
        assert_eq!(fixture.backend.state().claims, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn gone_connection_gives_its_slot_of_the_chat_to_the_next_one() {
        let fixture = Fixture::new();
        let chat = ChatId::generate();
        for id in ["a", "b"] {
            assert_eq!(fixture.connect_in(&chat, id).await, Ok(()));
        }
        wait(PROBE_INTERVAL).await;
        assert_eq!(fixture.connect_in(&chat, "c").await, Err(Code::ConnectionLimitExceeded));
        assert_eq!(fixture.connect("in another chat").await, Ok(()));
        fixture.backend.state().gone.push(ConnectionId::from_gateway("b"));
        wait(PROBE_INTERVAL).await;
        assert_eq!(fixture.connect_in(&chat, "c").await, Ok(()));
        assert_eq!(fixture.connect_in(&chat, "d").await, Err(Code::ConnectionLimitExceeded));
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_take_of_one_connection_uses_one_slot() {
        let fixture = Fixture::new();
        let chat = ChatId::generate();
        assert!(fixture.take_in(&chat, "a").await.is_ok());
        assert!(fixture.take_in(&chat, "a").await.is_ok());
        assert_eq!(fixture.backend.taken(), 1);
    }
}
