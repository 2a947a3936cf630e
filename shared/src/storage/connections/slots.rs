//! The item that holds a tenant's leases, each by its name.
//!
//! A set knows which leases are taken, not only how many: to take one twice is to take it once, and to give one back
//! twice does no harm. So the SDK may send these writes again when an answer got lost. A count would be one off for good:
//! let one too many in, or one too few.
//!
//! The item is billed by its size: about 11 bytes a lease, so 1 KB holds those of 80 sockets. It is apart from the gate,
//! which every request writes.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use sha2::{Digest, Sha256};

use super::{Connection, Connections, Item, StorageError, key, unless_refused};
use crate::{
    domain::{id::TenantId, time::Timestamp},
    storage::{
        item::{SET_VERSION, version},
        maintenance_queue::{self, MaintenanceQueue, QueueEntry},
    },
};

const LEASES: &str = "~leases";

/// Decimal digits of a name that tell apart what was taken in the same millisecond.
const DIGITS: u64 = 1_000_000;

/// How often maintenance looks at the sockets of a tenant that has some.
const LOOK_AT_SOCKETS: Duration = Duration::from_secs(4 * 60);

/// The name of a socket's lease: a number that says when it was taken, in milliseconds since the epoch, and then, in six
/// digits, by which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionSlot(u64);

impl ConnectionSlot {
    /// When it was taken.
    #[must_use]
    pub fn taken_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0 / DIGITS).unwrap_or(i64::MAX))
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn text(self) -> String {
        self.0.to_string()
    }
}

impl Connection {
    /// The name of its lease. It follows from what is noted of the socket, so whoever finds one knows the other.
    #[must_use]
    pub fn lease(&self) -> ConnectionSlot {
        let hash = Sha256::digest(self.connection_id.as_str());
        let digits = hash.iter().take(4).fold(0, |digits, byte| digits << 8 | u64::from(*byte)) % DIGITS;
        ConnectionSlot(self.opened_at.millis_since(Timestamp::from_millis(0)) * DIGITS + digits)
    }
}

impl Connections {
    /// Takes the lease of a socket, unless its tenant has so many already. True when it is taken. From then on maintenance
    /// looks at the tenant's sockets.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer; then it may be taken or not.
    pub async fn lease(&self, connection: &Connection, limit: u32) -> Result<bool, StorageError> {
        if limit == 0 {
            return Ok(false);
        }
        let lease = connection.lease().text();
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(leases_key(&connection.grant.tenant_id)))
            .update_expression(format!("{SET_VERSION}, {} ADD leases :leases", maintenance_queue::MARK_ONCE))
            .expression_attribute_values(":v", version())
            .condition_expression("attribute_not_exists(leases) OR size(leases) < :limit OR contains(leases, :lease)")
            .expression_attribute_values(":leases", AttributeValue::Ns(vec![lease.clone()]))
            .expression_attribute_values(":lease", AttributeValue::N(lease))
            .expression_attribute_values(":limit", AttributeValue::N(limit.to_string()));
        let due =
            maintenance_queue::mark(connection.grant.tenant_id.as_str(), connection.opened_at.plus(LOOK_AT_SOCKETS));
        let update =
            due.into_iter().fold(update, |update, (name, value)| update.expression_attribute_values(name, value));
        Ok(unless_refused(update.send().await)?.is_some())
    }

    /// Gives leases back. Those that are not taken stay so.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn release(&self, tenant: &TenantId, leases: &[ConnectionSlot]) -> Result<(), StorageError> {
        // DynamoDB knows no empty set.
        if leases.is_empty() {
            return Ok(());
        }
        let names = leases.iter().map(|lease| lease.text()).collect();
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(leases_key(tenant)))
            .update_expression("DELETE leases :leases")
            .expression_attribute_values(":leases", AttributeValue::Ns(names))
            .send()
            .await?;
        Ok(())
    }

    /// The leases that a tenant's sockets have taken.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn leases(&self, tenant: &TenantId) -> Result<BTreeSet<ConnectionSlot>, StorageError> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(leases_key(tenant)));
        let output = get.consistent_read(true).send().await?;
        Ok(output.item.map(|item| leases_of(&item)).unwrap_or_default())
    }

    /// The tenants whose sockets maintenance has to look at.
    #[must_use]
    pub fn agenda(&self) -> MaintenanceQueue<TenantId> {
        MaintenanceQueue::new(&self.client, &self.table, |item| TenantId::from_row(item.get("pk")?.as_s().ok()?))
    }

    /// Takes a tenant off the agenda if it has no sockets; otherwise they are looked at again later, as when it is seen
    /// that it `has_some`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn settle(&self, due: &QueueEntry<TenantId>, has_some: bool, now: Timestamp) -> Result<(), StorageError> {
        let agenda = self.agenda();
        if has_some || !agenda.strike(due, "attribute_not_exists(leases)", None).await? {
            agenda.postpone(due, now.plus(LOOK_AT_SOCKETS)).await?;
        }
        Ok(())
    }

    /// Claims the right to look for a tenant's dead sockets, so that one at a time does, and not all the time. Returns
    /// the leases; `None` when someone has looked within `interval`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn claim_probe(
        &self,
        tenant: &TenantId,
        interval: Duration,
        now: Timestamp,
    ) -> Result<Option<BTreeSet<ConnectionSlot>>, StorageError> {
        let millis = |time: Timestamp| AttributeValue::N(time.as_millis().to_string());
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(leases_key(tenant)))
            .update_expression(format!("{SET_VERSION}, probed_at = :now"))
            .expression_attribute_values(":v", version())
            .condition_expression("attribute_not_exists(probed_at) OR probed_at <= :not_since")
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":not_since", millis(now.minus(interval)))
            .return_values(ReturnValue::AllNew);
        let output = unless_refused(update.send().await)?;
        Ok(output.map(|output| output.attributes.map(|item| leases_of(&item)).unwrap_or_default()))
    }
}

pub(super) fn leases_key(tenant: &TenantId) -> Item {
    key(tenant.to_string(), LEASES.to_owned())
}

fn leases_of(item: &Item) -> BTreeSet<ConnectionSlot> {
    let names = item.get("leases").and_then(|leases| leases.as_ns().ok());
    names.into_iter().flatten().filter_map(|name| ConnectionSlot::read(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            api_key::ApiKey,
            id::{ChatId, ConnectionId, UserId},
        },
        storage::ConnectionGrant,
    };

    #[test]
    fn a_lease_says_when_it_was_taken_and_tells_sockets_apart() {
        let grant = ConnectionGrant {
            tenant_id: TenantId::generate(),
            key: ApiKey::new("x").hash(),
            user_id: UserId::parse("u").expect("a user"),
            chat_id: ChatId::generate(),
        };
        let now = Timestamp::from_millis(1_769_851_800_120);
        let lease = |id: &str| Connection::open(ConnectionId::from_gateway(id), grant.clone(), now).lease();
        assert_eq!(lease("a").taken_at(), now);
        assert_eq!(lease("a"), lease("a"));
        assert_ne!(lease("a"), lease("b"));
        assert_eq!(ConnectionSlot::read(&lease("a").text()), Some(lease("a")));
    }
}
