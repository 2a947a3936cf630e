//! Tickets: how a browser opens a socket without ever seeing an API key.

use std::time::Duration;

use serde::Serialize;

use crate::domain::time::Timestamp;

/// How long a ticket may be used.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// A pass for one socket of the chat's user on this chat.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ticket<'a> {
    /// The pass itself: it opens one socket, once.
    pub ticket: &'a str,
    /// Until when it does.
    pub expires_at: Timestamp,
    /// Where to connect, with the ticket in it.
    pub url: String,
}
