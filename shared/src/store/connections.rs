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
    StoreError,
    item::{self, Item},
    transaction::next_attempt,
    unless_refused,
};
use crate::{
    api_key::{KeyHash, TicketText},
    id::{ChatId, ConnectionId, TenantId, UserId},
    limits::{FRAME_WINDOW, FRAMES},
    telemetry,
    time::Timestamp,
};

mod leases;

pub use leases::Lease;

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
    pub pass: Pass,
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
/// let forged: shared::store::Pass = serde_json::from_str("{}").expect("this does not compile");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
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
pub enum Heard {
    /// It may speak, and is counted.
    Allowed(Connection),
    /// It has spoken too often within a second.
    TooOften(Connection),
    /// Nobody knows it (any more).
    Unknown,
}

/// A socket as it is stored.
#[derive(Serialize, Deserialize)]
struct ConnectionItem {
    connection_id: ConnectionId,
    #[serde(flatten)]
    pass: PassItem,
    opened_at: Timestamp,
    expires_at: Timestamp,
    greeted: bool,
}

/// A ticket as it is stored.
#[derive(Serialize, Deserialize)]
struct TicketItem {
    #[serde(flatten)]
    pass: PassItem,
    expires_at: Timestamp,
}

/// A pass as it is stored.
#[derive(Serialize, Deserialize)]
struct PassItem {
    #[serde(deserialize_with = "TenantId::deserialize_row")]
    tenant_id: TenantId,
    key: KeyHash,
    user_id: UserId,
    chat_id: ChatId,
}

impl From<Pass> for PassItem {
    fn from(Pass { tenant_id, key, user_id, chat_id }: Pass) -> Self {
        Self { tenant_id, key, user_id, chat_id }
    }
}

impl From<PassItem> for Pass {
    fn from(PassItem { tenant_id, key, user_id, chat_id }: PassItem) -> Self {
        Self { tenant_id, key, user_id, chat_id }
    }
}

impl Connection {
    /// A socket that opens now.
    #[must_use]
    pub fn open(id: ConnectionId, pass: Pass, now: Timestamp) -> Self {
        Self { connection_id: id, pass, opened_at: now, expires_at: now.plus(LIFETIME), greeted: false }
    }

    fn to_item(&self) -> Result<Item, StoreError> {
        let Self { connection_id, pass, opened_at, expires_at, greeted } = self.clone();
        let item = ConnectionItem { connection_id, pass: pass.into(), opened_at, expires_at, greeted };
        item::to_item(item)
    }

    fn from_item(item: Item) -> Result<Self, StoreError> {
        let ConnectionItem { connection_id, pass, opened_at, expires_at, greeted } = item::from_item(item)?;
        Ok(Self { connection_id, pass: pass.into(), opened_at, expires_at, greeted })
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
    /// [`StoreError`] when the table does not answer.
    pub async fn put(&self, connection: &Connection) -> Result<(), StoreError> {
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
    /// [`StoreError`] when the table does not answer.
    pub async fn hear(&self, id: &ConnectionId, now: Timestamp) -> Result<Heard, StoreError> {
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
        let (item, heard): (_, fn(Connection) -> Heard) = match update.send().await {
            Ok(output) => (output.attributes, Heard::Allowed),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    (refusal.item().cloned(), Heard::TooOften)
                }
                _ => return Err(error.into()),
            },
        };
        let connection = item.map(Connection::from_item).transpose()?;
        Ok(connection.filter(|connection| connection.expires_at > now).map_or(Heard::Unknown, heard))
    }

    /// All open sockets of a chat.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn of_chat(
        &self,
        tenant: &TenantId,
        chat: &ChatId,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StoreError> {
        let sockets = self.below(tenant, &format!("{chat}#")).await?;
        Ok(sockets.into_iter().filter(|socket| socket.expires_at > now).collect())
    }

    /// All sockets of a tenant that are noted as open, also those that must have ended by now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn of_tenant(&self, tenant: &TenantId) -> Result<Vec<Connection>, StoreError> {
        self.below(tenant, ChatId::PREFIX).await
    }

    async fn below(&self, tenant: &TenantId, prefix: &str) -> Result<Vec<Connection>, StoreError> {
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
    /// [`StoreError`] when the table does not answer.
    pub async fn note_greeted(&self, connection: &Connection) -> Result<(), StoreError> {
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
    /// [`StoreError`] when the table does not answer.
    pub async fn was_greeted(&self, connection: &Connection) -> Result<Option<bool>, StoreError> {
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
    /// [`StoreError`] when the table does not answer.
    pub async fn forget(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let delete = self.client.delete_item().table_name(&self.table).set_key(Some(own_key(id)));
        let output = delete.return_values(ReturnValue::AllOld).send().await?;
        let Some(item) = output.attributes else { return Ok(()) };
        let connection = Connection::from_item(item)?;
        telemetry::note_tenant(&connection.pass.tenant_id);
        self.delete(tenant_key(&connection)).await?;
        self.release(&connection.pass.tenant_id, &[connection.lease()]).await
    }

    /// Ends a socket that is gone, or never came to be: removes both of its items, and only then gives its lease back.
    /// It does no harm to do so again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer. The lease may then stay taken until its tenant needs it.
    pub async fn end(&self, connection: &Connection) -> Result<(), StoreError> {
        self.remove(connection).await?;
        self.release(&connection.pass.tenant_id, &[connection.lease()]).await
    }

    /// Removes both items of a socket, not its lease.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn remove(&self, connection: &Connection) -> Result<(), StoreError> {
        let (own, of_tenant) =
            tokio::join!(self.delete(own_key(&connection.connection_id)), self.delete(tenant_key(connection)));
        own.and(of_tenant)
    }

    async fn delete(&self, key: Item) -> Result<(), StoreError> {
        self.client.delete_item().table_name(&self.table).set_key(Some(key)).send().await?;
        Ok(())
    }

    /// Forgets that a tenant ever had sockets.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn forget_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        self.delete(leases::leases_key(tenant)).await
    }

    /// Keeps a ticket until it is used, or too old.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn put_ticket(&self, ticket: &TicketText, pass: Pass, expires_at: Timestamp) -> Result<(), StoreError> {
        let mut item = item::to_item(TicketItem { pass: pass.into(), expires_at })?;
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
    /// [`StoreError`] when the table does not answer.
    pub async fn redeem(&self, ticket: &TicketText, now: Timestamp) -> Result<Option<Pass>, StoreError> {
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
        Ok(ticket.map(|ticket| ticket.pass.into()))
    }
}

fn own_key(id: &ConnectionId) -> Item {
    key(id.to_string(), CONNECTION.to_owned())
}

fn tenant_key(connection: &Connection) -> Item {
    let Connection { connection_id, pass, .. } = connection;
    key(pass.tenant_id.to_string(), format!("{}#{connection_id}", pass.chat_id))
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
