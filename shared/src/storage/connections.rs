//! Open sockets, and the tickets that open them.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{connection_id}` | `~connection` | tenant, user and chat of the socket, and when it last spoke |
//! | `{tenant_id}` | `{chat_id}#{connection_id}` | that the socket is there |
//! | `{tenant_id}` | `~leases` | the leases of all its sockets, see `leases` |
//! | `ticket#{sha256}` | `~ticket` | whom a ticket lets in, and where |
//!
//! A socket is there twice: under its own id, for the messages that it sends; and under its tenant and chat, for the
//! answers that go to all sockets of the chat, and for the tenant's leases. Both are read consistently, so a socket that
//! is open gets everything.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    operation::update_item::UpdateItemError,
    types::{AttributeValue, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, WriteRequest},
};
use serde::{Deserialize, Serialize};

use super::{
    StorageError,
    item::{self, Item},
    transaction::next_attempt,
    unless_refused,
};
use crate::{
    domain::{
        api_key::KeyHash,
        id::{ChatId, ConnectionId, TenantId, UserId},
        limits::{FRAME_WINDOW, FRAMES},
        ticket::TicketText,
        time::Timestamp,
    },
    runtime::telemetry,
};

mod slots;

pub use slots::ConnectionSlot;

const CONNECTION: &str = "~connection";
const TICKET: &str = "~ticket";

/// API Gateway ends every socket after two hours.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The connections table.
#[derive(Clone, Debug)]
pub struct Connections {
    client: Client,
    table: String,
}

/// An open socket.
#[derive(Clone, Debug)]
pub struct Connection {
    /// API Gateway's name for it.
    pub connection_id: ConnectionId,
    /// Who is at its other end, and for which chat.
    pub grant: ConnectionGrant,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When API Gateway will end it at the latest.
    pub expires_at: Timestamp,
    /// Whether it has had its first event; nothing else may be posted before.
    pub greeted: bool,
}

/// What lets a socket in: by whom it was let in, who may use it, and for which chat.
///
/// It holds a [`TenantId`], so it is read from nowhere but the table:
///
/// ```compile_fail
/// let forged: shared::storage::ConnectionGrant = serde_json::from_str("{}").expect("this does not compile");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionGrant {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The key that opened the tenant's gate; once it is revoked, the socket ends.
    pub key: KeyHash,
    /// The user at the other end.
    pub user_id: UserId,
    /// The chat.
    pub chat_id: ChatId,
}

/// What became of a socket that says something.
#[derive(Debug)]
pub enum FrameAdmission {
    /// It may speak, and is counted.
    Allowed(Connection),
    /// It has spoken too often within a second.
    RateLimited(Connection),
    /// Nobody knows it (any more).
    Unknown,
}

/// A socket as it is stored.
#[derive(Serialize, Deserialize)]
struct ConnectionItem {
    connection_id: ConnectionId,
    #[serde(flatten)]
    grant: GrantItem,
    opened_at: Timestamp,
    expires_at: Timestamp,
    greeted: bool,
}

/// A ticket as it is stored.
#[derive(Serialize, Deserialize)]
struct TicketItem {
    #[serde(flatten)]
    grant: GrantItem,
    expires_at: Timestamp,
}

/// A pass as it is stored.
#[derive(Serialize, Deserialize)]
struct GrantItem {
    #[serde(deserialize_with = "TenantId::deserialize_row")]
    tenant_id: TenantId,
    key: KeyHash,
    user_id: UserId,
    chat_id: ChatId,
}

impl From<ConnectionGrant> for GrantItem {
    fn from(ConnectionGrant { tenant_id, key, user_id, chat_id }: ConnectionGrant) -> Self {
        Self { tenant_id, key, user_id, chat_id }
    }
}

impl From<GrantItem> for ConnectionGrant {
    fn from(GrantItem { tenant_id, key, user_id, chat_id }: GrantItem) -> Self {
        Self { tenant_id, key, user_id, chat_id }
    }
}

impl Connection {
    /// A socket that opens now.
    #[must_use]
    pub fn open(id: ConnectionId, grant: ConnectionGrant, now: Timestamp) -> Self {
        Self { connection_id: id, grant, opened_at: now, expires_at: now.plus(LIFETIME), greeted: false }
    }

    fn to_item(&self) -> Result<Item, StorageError> {
        let Self { connection_id, grant, opened_at, expires_at, greeted } = self.clone();
        let item = ConnectionItem { connection_id, grant: grant.into(), opened_at, expires_at, greeted };
        item::to_item(item)
    }

    fn from_item(item: Item) -> Result<Self, StorageError> {
        let ConnectionItem { connection_id, grant, opened_at, expires_at, greeted } = item::from_item(item)?;
        Ok(Self { connection_id, grant: grant.into(), opened_at, expires_at, greeted })
    }
}

impl Connections {
    /// The table of that name.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Notes an open socket.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn put(&self, connection: &Connection) -> Result<(), StorageError> {
        let mut own = connection.to_item()?;
        let mut of_tenant = own.clone();
        own.extend(own_key(&connection.connection_id));
        // Nothing was said yet: all places of the register are free.
        own.extend((1..=FRAMES).map(|place| (register(place), AttributeValue::N("0".to_owned()))));
        of_tenant.extend(tenant_key(connection));

        let puts = [own, of_tenant].map(|mut item| {
            item.extend([ttl(connection.expires_at)]);
            let put = PutRequest::builder().set_item(Some(item)).build().expect("the item is set");
            WriteRequest::builder().put_request(put).build()
        });
        let mut pending = Some(HashMap::from([(self.table.clone(), puts.to_vec())]));
        let mut attempt = 0;
        while let Some(items) = pending.take().filter(|items| !items.is_empty()) {
            attempt = next_attempt(attempt).await?;
            pending = self.client.batch_write_item().set_request_items(Some(items)).send().await?.unprocessed_items;
        }
        Ok(())
    }

    /// Finds the socket that says something, and counts what it says, in one write.
    ///
    /// The item holds when the last ten messages came, the newest first. A message is let through, and put first, if the
    /// tenth is a second old: an exact sliding window. Should the answer get lost, the SDK sends the write again and the
    /// message counts twice, so that nine may pass in that second, never eleven.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn admit_frame(&self, id: &ConnectionId, now: Timestamp) -> Result<FrameAdmission, StorageError> {
        let shift: Vec<String> =
            (2..=FRAMES).map(|place| format!("{} = {}", register(place), register(place - 1))).collect();
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(own_key(id)))
            .update_expression(format!("SET {} = :now, {}", register(1), shift.join(", ")))
            .condition_expression(format!("{} <= :second_ago", register(FRAMES)))
            .expression_attribute_values(":now", millis(now.as_millis()))
            .expression_attribute_values(":second_ago", millis(now.as_millis() - FRAME_WINDOW.as_millis() as i64))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (item, heard): (_, fn(Connection) -> FrameAdmission) = match update.send().await {
            Ok(output) => (output.attributes, FrameAdmission::Allowed),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    (refusal.item().cloned(), FrameAdmission::RateLimited)
                }
                _ => return Err(error.into()),
            },
        };
        let connection = item.map(Connection::from_item).transpose()?;
        Ok(connection.filter(|connection| connection.expires_at > now).map_or(FrameAdmission::Unknown, heard))
    }

    /// All open sockets of a chat.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn of_chat(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StorageError> {
        let sockets = self.below(tenant, &format!("{chat}#")).await?;
        Ok(sockets.into_iter().filter(|socket| socket.expires_at > now).collect())
    }

    /// All sockets of a tenant that are noted as open, also those that must have ended by now.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn of_tenant(&self, tenant: &TenantId) -> Result<Vec<Connection>, StorageError> {
        self.below(tenant, ChatId::PREFIX).await
    }

    async fn below(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Connection>, StorageError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :tenant AND begins_with(sk, :prefix)")
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_string()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            .consistent_read(true);
        let items: Vec<Item> = query.into_paginator().items().send().try_collect().await?;
        items.into_iter().map(Connection::from_item).collect()
    }

    /// Notes that a socket has had its first event: in both of its items, so that whoever finds one of them need not ask
    /// for the other. Does nothing for a socket that is gone.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn note_greeted(&self, connection: &Connection) -> Result<(), StorageError> {
        let note = async |key| {
            let update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key))
                .update_expression("SET greeted = :true")
                .condition_expression("attribute_exists(pk)")
                .expression_attribute_values(":true", AttributeValue::Bool(true));
            unless_refused(update.send().await).map(drop)
        };
        let noted = tokio::join!(note(own_key(&connection.connection_id)), note(tenant_key(connection)));
        noted.0.and(noted.1)
    }

    /// Whether a socket has had its first event by now; `None` when it is gone.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn was_greeted(&self, connection: &Connection) -> Result<Option<bool>, StorageError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(tenant_key(connection)))
            .consistent_read(true)
            .send()
            .await?;
        let connection = output.item.map(Connection::from_item).transpose()?;
        Ok(connection.map(|connection| connection.greeted))
    }

    /// Forgets a socket that API Gateway says is closed, and gives its lease back. What is left when this breaks off is
    /// found when its tenant needs the lease.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn forget(&self, id: &ConnectionId) -> Result<(), StorageError> {
        let delete = self.client.delete_item().table_name(&self.table).set_key(Some(own_key(id)));
        let output = delete.return_values(ReturnValue::AllOld).send().await?;
        let Some(item) = output.attributes else { return Ok(()) };
        let connection = Connection::from_item(item)?;
        telemetry::note_tenant(&connection.grant.tenant_id);
        self.delete(tenant_key(&connection)).await?;
        self.release(&connection.grant.tenant_id, &[connection.lease()]).await
    }

    /// Ends a socket that is gone, or never came to be: removes both of its items, and only then gives its lease back.
    /// It does no harm to do so again.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer. The lease may then stay taken until its tenant needs it.
    pub async fn end(&self, connection: &Connection) -> Result<(), StorageError> {
        self.remove(connection).await?;
        self.release(&connection.grant.tenant_id, &[connection.lease()]).await
    }

    /// Removes both items of a socket, not its lease.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn remove(&self, connection: &Connection) -> Result<(), StorageError> {
        let (own, of_tenant) =
            tokio::join!(self.delete(own_key(&connection.connection_id)), self.delete(tenant_key(connection)));
        own.and(of_tenant)
    }

    async fn delete(&self, key: Item) -> Result<(), StorageError> {
        self.client.delete_item().table_name(&self.table).set_key(Some(key)).send().await?;
        Ok(())
    }

    /// Forgets that a tenant ever had sockets.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn forget_tenant(&self, tenant: &TenantId) -> Result<(), StorageError> {
        self.delete(slots::leases_key(tenant)).await
    }

    /// Keeps a ticket until it is used, or too old.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn put_ticket(
        &self,
        ticket: &TicketText,
        grant: ConnectionGrant,
        expires_at: Timestamp,
    ) -> Result<(), StorageError> {
        let mut item = item::to_item(TicketItem { grant: grant.into(), expires_at })?;
        item.extend(ticket_key(ticket));
        item.extend([ttl(expires_at)]);
        self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await?;
        Ok(())
    }

    /// Uses a ticket up. `None` when it was used already, is too old, or never was; also when the answer to the first
    /// try got lost, since a ticket too few is better than one that opens two sockets.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the table does not answer.
    pub async fn redeem(&self, ticket: &TicketText, now: Timestamp) -> Result<Option<ConnectionGrant>, StorageError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(ticket_key(ticket)))
            .condition_expression("expires_at > :now")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .return_values(ReturnValue::AllOld);
        let item = unless_refused(delete.send().await)?.and_then(|output| output.attributes);
        let ticket: Option<TicketItem> = item.map(item::from_item).transpose()?;
        Ok(ticket.map(|ticket| ticket.grant.into()))
    }
}

fn own_key(id: &ConnectionId) -> Item {
    key(id.to_string(), CONNECTION.to_owned())
}

fn tenant_key(connection: &Connection) -> Item {
    let Connection { connection_id, grant, .. } = connection;
    key(grant.tenant_id.to_string(), format!("{}#{connection_id}", grant.chat_id))
}

fn ticket_key(ticket: &TicketText) -> Item {
    key(format!("ticket#{}", ticket.hash()), TICKET.to_owned())
}

fn key(pk: String, sk: String) -> Item {
    HashMap::from([("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))])
}

fn register(place: usize) -> String {
    format!("r{place}")
}

fn millis(millis: i64) -> AttributeValue {
    AttributeValue::N(millis.to_string())
}

fn ttl(expires_at: Timestamp) -> (String, AttributeValue) {
    ("ttl".to_owned(), AttributeValue::N(expires_at.as_seconds().to_string()))
}
