//! Connections.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{connection_id}` | `~connection` | the connection, with the times of its last ten messages and the count of those refused |
//! | `{tenant_id}` | `{chat_id}#{connection_id}` | the connection |
//!
//! A connection has two items: under its own id for the messages that it sends, and under its tenant and chat for the
//! events that go to all connections of a chat, and for the tenant's limit. Both are read consistently, so a generation
//! finds every open connection.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    batch::write_all,
    conditional::{ConditionalUpdate, unless_refused},
    connection_slots::ConnectionSlotRepository,
    error::StorageError,
    frame_refusals::{Refusal, Refusals},
    item::{self, Item, number, text},
    message_rate_limit::{count_message, unused_window},
    records::grant::GrantRecord,
    table::{Key, Table, batch_put},
    transaction::ATTEMPTS,
};
use crate::domain::{
    connection::Connection,
    id::{ChatId, ConnectionId, TenantId},
    time::Timestamp,
};

const CONNECTION: &str = "~connection";

/// How long a socket's replay may last, with the read of its answer and the wait of a `cancel`. It ends sooner; this is
/// for one whose process died.
const REPLAY_LEASE: Duration = Duration::from_secs(30);

/// The right to replay an answer to a socket, which has one replay at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayLease {
    token: String,
}

/// The connections of tenants.
#[derive(Clone, Debug)]
pub struct ConnectionRepository {
    table: Table,
    slots: ConnectionSlotRepository,
}

/// Whether a connection may send a message.
#[derive(Debug)]
pub enum FrameAdmission {
    /// It may, and the message is counted.
    Allowed(Connection),
    /// It has sent ten messages within the last second.
    RateLimited(Connection, Refusal),
    /// The connection is not stored, or has expired.
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct ConnectionRecord {
    connection_id: ConnectionId,
    #[serde(flatten)]
    grant: GrantRecord,
    opened_at: Timestamp,
    expires_at: Timestamp,
    established: bool,
}

impl From<Connection> for ConnectionRecord {
    fn from(Connection { connection_id, grant, opened_at, expires_at, established }: Connection) -> Self {
        Self { connection_id, grant: grant.into(), opened_at, expires_at, established }
    }
}

impl From<ConnectionRecord> for Connection {
    fn from(ConnectionRecord { connection_id, grant, opened_at, expires_at, established }: ConnectionRecord) -> Self {
        Self { connection_id, grant: grant.into(), opened_at, expires_at, established }
    }
}

fn from_item(item: Item) -> Result<Connection, StorageError> {
    item::from_item::<ConnectionRecord>(item).map(Connection::from)
}

impl ConnectionRepository {
    /// The connections in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        let table = Table::new(client, table_name);
        Self { slots: ConnectionSlotRepository::in_table(&table), table }
    }

    /// The slots of the tenants in the same table.
    #[must_use]
    pub fn slots(&self) -> &ConnectionSlotRepository {
        &self.slots
    }

    /// Stores an open connection.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; one of its items may be stored then.
    pub async fn put(&self, connection: &Connection) -> Result<(), StorageError> {
        let mut own = item::to_item(ConnectionRecord::from(connection.clone()))?;
        own.insert("ttl".to_owned(), number(connection.expires_at.as_seconds()));
        let mut of_chat = own.clone();
        own.extend(unused_window());
        own_key(&connection.connection_id).add_to(&mut own);
        chat_key(connection).add_to(&mut of_chat);

        write_all(&self.table, &[batch_put(own), batch_put(of_chat)]).await
    }

    /// Finds the connection that sends a message, and counts the message, in one write; in two if the message is refused, or
    /// more if others are refused at the same time.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn admit_frame(&self, id: &ConnectionId, now: Timestamp) -> Result<FrameAdmission, StorageError> {
        let update = count_message(self.table.update(own_key(id)), now)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (item, refusals) = match ConditionalUpdate::of(update.send().await)? {
            ConditionalUpdate::Updated(item) => (item, None),
            ConditionalUpdate::Refused(Some(item)) => {
                let refusals = Refusals::of(&item);
                (item, Some(refusals))
            }
            ConditionalUpdate::Refused(None) => return Ok(FrameAdmission::Unknown),
        };
        let connection = from_item(item)?;
        if connection.expires_at <= now {
            return Ok(FrameAdmission::Unknown);
        }
        Ok(match refusals {
            None => FrameAdmission::Allowed(connection),
            Some(refusals) => FrameAdmission::RateLimited(connection, self.count_refusal(id, refusals, now).await?),
        })
    }

    /// Counts a refused message. Others may be refused at the same time, so that the count is attempted again from what
    /// they left.
    async fn count_refusal(
        &self,
        id: &ConnectionId,
        mut refusals: Refusals,
        now: Timestamp,
    ) -> Result<Refusal, StorageError> {
        for _ in 0..ATTEMPTS {
            let update = refusals
                .count(self.table.update(own_key(id)), now)
                .return_values(ReturnValue::UpdatedNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match ConditionalUpdate::of(update.send().await)? {
                ConditionalUpdate::Updated(counted) => return Ok(refusals.outcome(&counted, now)),
                ConditionalUpdate::Refused(Some(item)) => refusals = Refusals::of(&item),
                // The socket was closed meanwhile.
                ConditionalUpdate::Refused(None) => break,
            }
        }
        Ok(Refusal::Dropped)
    }

    /// Begins a replay to a socket; `None` while it has another one, or when it is not stored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn begin_replay(&self, id: &ConnectionId, now: Timestamp) -> Result<Option<ReplayLease>, StorageError> {
        let lease = ReplayLease { token: format!("{:016x}", rand::random::<u64>()) };
        let update = self
            .table
            .update(own_key(id))
            .update_expression("SET replay_until = :until, replay_token = :token")
            // After a lost response the SDK writes again, and finds its own token.
            .condition_expression(
                "attribute_exists(pk) AND (attribute_not_exists(replay_until) OR replay_until <= :now \
                 OR replay_token = :token)",
            )
            .expression_attribute_values(":token", text(&lease.token))
            .expression_attribute_values(":until", number(now.plus(REPLAY_LEASE).as_millis()))
            .expression_attribute_values(":now", number(now.as_millis()));
        Ok(unless_refused(update.send().await)?.map(|_| lease))
    }

    /// Ends a replay, unless its time is over and the socket has another one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the socket gets no further replay until the time is over.
    pub async fn end_replay(&self, id: &ConnectionId, lease: &ReplayLease) -> Result<(), StorageError> {
        let update = self
            .table
            .update(own_key(id))
            .update_expression("REMOVE replay_until, replay_token")
            .condition_expression("replay_token = :token")
            .expression_attribute_values(":token", text(&lease.token));
        unless_refused(update.send().await).map(drop)
    }

    /// Lists the connections of a chat that have not expired.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list_by_chat(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StorageError> {
        let connections = self.list_by_prefix(tenant, &format!("{chat}#")).await?;
        Ok(connections.into_iter().filter(|connection| connection.expires_at > now).collect())
    }

    /// Lists all connections of a tenant, also those that have expired.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn list_by_tenant(&self, tenant: &TenantId) -> Result<Vec<Connection>, StorageError> {
        self.list_by_prefix(tenant, ChatId::PREFIX).await
    }

    async fn list_by_prefix(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Connection>, StorageError> {
        let query = self
            .table
            .query()
            .key_condition_expression("pk = :tenant AND begins_with(sk, :prefix)")
            .expression_attribute_values(":tenant", text(tenant))
            .expression_attribute_values(":prefix", text(prefix));
        let items: Vec<Item> = query.into_paginator().items().send().try_collect().await?;
        items.into_iter().map(from_item).collect()
    }

    /// Records that `connection_established` was posted, in both items, so that a reader of one needs not the other. Does
    /// nothing for a connection that is not stored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn mark_established(&self, connection: &Connection) -> Result<(), StorageError> {
        let mark = async |key| {
            let update = self
                .table
                .update(key)
                .update_expression("SET established = :true")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":true", AttributeValue::Bool(true));
            unless_refused(update.send().await).map(drop)
        };
        let marked = tokio::join!(mark(own_key(&connection.connection_id)), mark(chat_key(connection)));
        marked.0.and(marked.1)
    }

    /// Reads whether `connection_established` was posted by now; `None` for a connection that is not stored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn is_established(&self, connection: &Connection) -> Result<Option<bool>, StorageError> {
        let record: Option<ConnectionRecord> = self.table.get_as(chat_key(connection)).await?;
        Ok(record.map(|record| record.established))
    }

    /// Deletes a connection's own item by its id and returns the connection; `None` when it was deleted before.
    /// [`release`](Self::release) completes the deletion. A slot that is left when this breaks off is found when its
    /// tenant needs it.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete_by_id(&self, id: &ConnectionId) -> Result<Option<Connection>, StorageError> {
        let output = self.table.delete(own_key(id)).return_values(ReturnValue::AllOld).send().await?;
        output.attributes.map(from_item).transpose()
    }

    /// Deletes a connection's item of its chat, then releases its slot.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn release(&self, connection: &Connection) -> Result<(), StorageError> {
        self.table.delete(chat_key(connection)).send().await?;
        self.slots.release(&connection.grant.tenant_id, &[connection.slot()]).await
    }

    /// Deletes both items of a connection, then releases its slot. May be repeated.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails; the slot may stay taken until its tenant needs it.
    pub async fn end(&self, connection: &Connection) -> Result<(), StorageError> {
        self.delete(connection).await?;
        self.slots.release(&connection.grant.tenant_id, &[connection.slot()]).await
    }

    /// Deletes both items of a connection, and keeps its slot.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn delete(&self, connection: &Connection) -> Result<(), StorageError> {
        let own = self.table.delete(own_key(&connection.connection_id)).send();
        let of_chat = self.table.delete(chat_key(connection)).send();
        let (own, of_chat) = tokio::join!(own, of_chat);
        own?;
        of_chat?;
        Ok(())
    }
}

fn own_key(id: &ConnectionId) -> Key {
    Key::new(id, CONNECTION)
}

fn chat_key(connection: &Connection) -> Key {
    let Connection { connection_id, grant, .. } = connection;
    Key::new(&grant.tenant_id, format!("{}#{connection_id}", grant.chat_id))
}
