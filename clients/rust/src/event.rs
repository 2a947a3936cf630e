//! Events: what the server sends on a socket. docs/asyncapi.json has their schemas. Times are texts as of RFC 3339.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ErrorBody;

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The first event on every socket.
    ConnectionEstablished(ConnectionEstablished),
    /// Once per user, right after their first connection was established.
    UserCreated(UserCreated),
    /// A message of the user is stored.
    MessageReceived(MessageReceived),
    /// An answer begins.
    MessageStreamStarted(StreamStarted),
    /// The next part of an answer.
    MessageStreamToken(StreamToken),
    /// An answer has ended and is stored.
    MessageStreamEnded(StreamEnded),
    /// The response to `ping`.
    Pong(Pong),
    /// Something failed.
    Error(ErrorEvent),
    /// An event that this version does not know, whole.
    #[serde(untagged)]
    Unknown(Map<String, Value>),
}

/// The first event on every socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionEstablished {
    /// API Gateway's id of the socket.
    pub connection_id: String,
    /// The user at its other end.
    pub user_id: String,
    /// When API Gateway closes it at the latest.
    pub expires_at: String,
    /// The answers that are streaming in the chat.
    pub active_streams: Vec<ActiveStream>,
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// An answer that is streaming when a socket opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveStream {
    /// The answer's id.
    pub message_id: String,
    /// Its position in the chat.
    pub seq: u32,
    /// The message that it answers.
    pub in_reply_to: String,
    /// The answer that this one replaces once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// A new user has connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCreated {
    /// The user.
    pub user_id: String,
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// A message of the user is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReceived {
    /// The message's id.
    pub message_id: String,
    /// Its position in the chat.
    pub seq: u32,
    /// Its text.
    pub content: String,
    /// The client's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// The answer, if the message was received before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_id: Option<String>,
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// An answer begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStarted {
    /// The answer's id.
    pub message_id: String,
    /// Its position in the chat.
    pub seq: u32,
    /// The message that it answers.
    pub in_reply_to: String,
    /// The model that answers.
    pub model: String,
    /// The answer that this one replaces once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// The next part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamToken {
    /// The answer's id.
    pub message_id: String,
    /// Where the part starts in the answer, in bytes of UTF-8.
    pub offset: usize,
    /// Where the part ends.
    pub next_offset: usize,
    /// The part.
    pub token: String,
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// An answer has ended and is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnded {
    /// The answer's id.
    pub message_id: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The whole answer, if it fits into one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Set when `content` is omitted because it does not fit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_omitted: bool,
    /// The tokens used.
    pub usage: Usage,
    /// How long it took.
    pub timing: Timing,
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model finished.
    Stop,
    /// The longest allowed text was reached.
    Length,
    /// A client cancelled it.
    Cancelled,
    /// The model failed, or the process that streamed it died.
    Error,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The tokens that an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the conversation that the model read.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether they are estimated, since the model did not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// How long an answer took, from the moment the message arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Until its first token, in milliseconds.
    pub first_token_ms: u64,
    /// Until its end, in milliseconds.
    pub total_ms: u64,
}

/// The response to `ping`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The chat of the socket.
    pub chat_id: String,
    /// When the event was sent.
    pub timestamp: String,
}

/// Something failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorEvent {
    /// What failed.
    pub error: ErrorBody,
    /// The id to quote when you report the error to the operator.
    pub request_id: String,
    /// The answer that failed. Absent if a frame was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The chat of the socket; absent only when the connection is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<String>,
    /// When the event was sent.
    pub timestamp: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn unknown_type_and_fields_are_no_error() {
        let later = json!({ "type": "typing", "by": "somebody" });
        assert!(
            matches!(from_value(later.clone()), Ok(Event::Unknown(event)) if Value::Object(event.clone()) == later)
        );
        let wider = json!({ "type": "pong", "chat_id": "chat_1", "timestamp": "2026-11-23T04:58:02Z", "load": 7 });
        assert!(matches!(from_value(wider), Ok(Event::Pong(_))));
    }
}
