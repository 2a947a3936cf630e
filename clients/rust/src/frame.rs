//! Frames: what a client sends on a socket.

use serde::Serialize;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    /// The user sends a message.
    Message {
        /// Its text.
        content: String,
        /// The client's id of the message: a frame with the same id is not answered again.
        client_message_id: String,
    },
    /// Ends an answer.
    Cancel {
        /// The answer.
        message_id: String,
    },
    /// Asks for the rest of an answer.
    Resume {
        /// The answer.
        message_id: String,
        /// The last `next_offset` that arrived, 0 for none.
        offset: usize,
    },
    /// Replaces the chat's last answer by a new one.
    Regenerate {
        /// The chat's last answer.
        message_id: String,
    },
    /// Checks the connection.
    Ping,
}

impl Frame {
    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a frame is JSON")
    }
}
