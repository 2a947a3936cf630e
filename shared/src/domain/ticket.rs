//! Tickets: a browser opens a connection with one, so that no API key reaches it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::domain::{
    api_key::{random_digits, sha256},
    time::Timestamp,
};

/// How long a ticket is valid.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// A ticket as `POST /api/v1/chats/{chat_id}/tickets` returns it: valid once, for the chat's user and this chat.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ticket<'a> {
    /// The ticket: it opens one connection, once.
    pub ticket: &'a str,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The URL to connect to; it contains the ticket.
    pub url: String,
}

/// A ticket in clear text: `tk_` and 22 random base-62 digits. Only its SHA-256 hash is stored.
#[derive(Debug)]
pub struct TicketText(SecretString);

impl TicketText {
    /// Wraps a ticket as a client sent it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// Generates a ticket.
    #[must_use]
    pub fn generate() -> Self {
        Self(SecretString::from(format!("tk_{}", random_digits())))
    }

    /// The ticket as text, to be shown once to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// The hash that is stored and looked up.
    pub(crate) fn hash(&self) -> String {
        sha256(self.0.expose_secret().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_show_the_ticket() {
        assert!(!format!("{:?}", TicketText::new("s3cret")).contains("s3cret"));
    }
}
