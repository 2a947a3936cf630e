//! Tickets. Only their hashes are stored.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `ticket#{sha256 of the ticket}` | `~ticket` | the grant of the connection that it opens, `expires_at` |

use aws_sdk_dynamodb::{Client, types::ReturnValue};
use serde::{Deserialize, Serialize};

use super::{
    conditional::unless_refused,
    error::StorageError,
    item::{self, number, text},
    records::grant::GrantRecord,
    table::{Key, Table},
};
use crate::domain::{connection::ConnectionGrant, ticket::TicketText, time::Timestamp};

const TICKET: &str = "~ticket";

/// The tickets of all tenants.
#[derive(Clone, Debug)]
pub struct TicketRepository {
    table: Table,
}

#[derive(Serialize, Deserialize)]
struct TicketRecord {
    #[serde(flatten)]
    grant: GrantRecord,
    expires_at: Timestamp,
}

impl TicketRepository {
    /// The tickets in this table.
    #[must_use]
    pub fn new(client: Client, table_name: String) -> Self {
        Self { table: Table::new(client, table_name) }
    }

    /// Stores a ticket until it is redeemed or expires.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn put(
        &self,
        ticket: &TicketText,
        grant: ConnectionGrant,
        expires_at: Timestamp,
    ) -> Result<(), StorageError> {
        let mut item = item::to_item(TicketRecord { grant: grant.into(), expires_at })?;
        item.insert("ttl".to_owned(), number(expires_at.as_seconds()));
        key(ticket).add_to(&mut item);
        self.table.put(item).send().await?;
        Ok(())
    }

    /// Reads what a ticket grants, and leaves it to be redeemed; `None` when it is unknown, redeemed or expired.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn find(&self, ticket: &TicketText, now: Timestamp) -> Result<Option<ConnectionGrant>, StorageError> {
        let ticket: Option<TicketRecord> = self.table.get_as(key(ticket)).await?;
        Ok(ticket.filter(|ticket| ticket.expires_at > now).map(|ticket| ticket.grant.into()))
    }

    /// Redeems a ticket, once; `None` when it is unknown, redeemed or expired. Also `None` when the response to a first
    /// attempt was lost: a wasted ticket is better than a ticket that opens two connections.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when DynamoDB fails.
    pub async fn redeem(&self, ticket: &TicketText, now: Timestamp) -> Result<Option<ConnectionGrant>, StorageError> {
        let delete = self
            .table
            .delete(key(ticket))
            .condition_expression("expires_at > :now")
            .expression_attribute_values(":now", text(now))
            .return_values(ReturnValue::AllOld);
        let item = unless_refused(delete.send().await)?.and_then(|output| output.attributes);
        let ticket: Option<TicketRecord> = item.map(item::from_item).transpose()?;
        Ok(ticket.map(|ticket| ticket.grant.into()))
    }
}

fn key(ticket: &TicketText) -> Key {
    Key::new(format!("ticket#{}", ticket.hash()), TICKET)
}
