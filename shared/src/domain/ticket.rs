//! Tickets: a browser opens a connection with one, so that no API key reaches it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::domain::{
    api_key::{generate_secret, has_valid_checksum, sha256},
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

const PREFIX: &str = "tk_";

/// A ticket in clear text: `tk_`, 22 random base-62 digits and 6 digits of a CRC-32 over both. Only its SHA-256 hash is
/// stored.
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
        Self(SecretString::from(generate_secret(PREFIX)))
    }

    /// False for a text that is no generated ticket: its checksum is wrong.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let text = self.0.expose_secret();
        text.starts_with(PREFIX) && has_valid_checksum(text)
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

    #[test]
    fn texts_that_are_no_generated_tickets_are_recognized() {
        let ticket = TicketText::generate();
        let text = ticket.reveal();
        assert!(ticket.is_plausible() && text.starts_with("tk_"), "{text}");
        for place in 0..text.len() {
            let mut mistyped = text.to_owned();
            let other = if &text[place..=place] == "x" { "y" } else { "x" };
            mistyped.replace_range(place..=place, other);
            assert!(!TicketText::new(&mistyped).is_plausible(), "an error at {place} is not detected");
        }
        let without_checksum = &text[..text.len() - 6];
        for text in ["", "tk_", "tk_unknown", "тикет", without_checksum] {
            assert!(!TicketText::new(text).is_plausible(), "{text}");
        }
    }
}
