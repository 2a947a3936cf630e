//! Open sockets. Each is there twice: under its own id, for the messages that it sends; and under its chat, for the
//! answers that go to all sockets of the chat. Both are read consistently, so a socket that is open gets everything.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{connection_id}` | `~connection` | tenant, user and chat of the socket |
//! | `{tenant_id}#{chat_id}` | `{connection_id}` | that the socket is there |

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, PutRequest, ReturnValue, WriteRequest},
};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    id::{ChatId, ConnectionId, TenantId, UserId},
    time::Timestamp,
};

const CONNECTION: &str = "~connection";

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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// API Gateway's name for it.
    pub connection_id: ConnectionId,
    /// The tenant that let it in.
    pub tenant_id: TenantId,
    /// The user at its other end.
    pub user_id: UserId,
    /// The chat that it is for.
    pub chat_id: ChatId,
    /// When API Gateway will end it at the latest.
    pub expires_at: Timestamp,
}

impl Connection {
    /// A socket that opens now.
    #[must_use]
    pub fn open(id: ConnectionId, tenant: TenantId, user: UserId, chat: ChatId, now: Timestamp) -> Self {
        Self { connection_id: id, tenant_id: tenant, user_id: user, chat_id: chat, expires_at: now.plus(LIFETIME) }
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
        let ttl = ("ttl".to_owned(), AttributeValue::N(connection.expires_at.as_seconds().to_string()));
        let mut own: HashMap<_, _> = serde_dynamo::to_item(connection)?;
        own.extend(own_key(&connection.connection_id));
        own.extend([ttl.clone()]);
        let mut of_chat = chat_key(&connection.tenant_id, &connection.chat_id, &connection.connection_id);
        of_chat.extend([("expires_at".to_owned(), AttributeValue::S(connection.expires_at.to_string())), ttl]);

        let puts = [own, of_chat].map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build().expect("the item is set");
            WriteRequest::builder().put_request(put).build()
        });
        let mut pending = Some(HashMap::from([(self.table.clone(), puts.to_vec())]));
        while let Some(items) = pending.take().filter(|items| !items.is_empty()) {
            pending = self.client.batch_write_item().set_request_items(Some(items)).send().await?.unprocessed_items;
        }
        Ok(())
    }

    /// Finds an open socket.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn get(&self, id: &ConnectionId, now: Timestamp) -> Result<Option<Connection>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(own_key(id)))
            .consistent_read(true)
            .send()
            .await?;
        let connection: Option<Connection> = output.item.map(serde_dynamo::from_item).transpose()?;
        Ok(connection.filter(|connection| connection.expires_at > now))
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
    ) -> Result<Vec<ConnectionId>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(chat_pk(tenant, chat)))
            .consistent_read(true)
            .send()
            .await?;
        let items = output.items.unwrap_or_default();
        let sockets: Vec<SocketOfChat> = serde_dynamo::from_items(items)?;
        Ok(sockets.into_iter().filter(|socket| socket.expires_at > now).map(|socket| socket.sk).collect())
    }

    /// Forgets a socket; nothing happens when it is forgotten already.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the table does not answer.
    pub async fn remove(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let output = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(own_key(id)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await?;
        let Some(item) = output.attributes else {
            return Ok(());
        };
        let connection: Connection = serde_dynamo::from_item(item)?;
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(chat_key(&connection.tenant_id, &connection.chat_id, id)))
            .send()
            .await?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct SocketOfChat {
    sk: ConnectionId,
    expires_at: Timestamp,
}

fn own_key(id: &ConnectionId) -> HashMap<String, AttributeValue> {
    key(id.to_string(), CONNECTION.to_owned())
}

fn chat_key(tenant: &TenantId, chat: &ChatId, id: &ConnectionId) -> HashMap<String, AttributeValue> {
    key(chat_pk(tenant, chat), id.to_string())
}

fn chat_pk(tenant: &TenantId, chat: &ChatId) -> String {
    format!("{tenant}#{chat}")
}

fn key(pk: String, sk: String) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))])
}
