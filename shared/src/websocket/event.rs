//! Events: what the server posts to a socket.

use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    error::ApiError,
    generation::ActiveStream,
    id::{ChatId, ClientMessageId, ConnectionId, MessageId, UserId},
    message::{FinishReason, Message, Usage},
    time::Timestamp,
};

/// The largest event, in bytes, and the largest frame of a client. API Gateway bills per 32 KB and closes a socket on a
/// larger frame.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
pub const MAX_EVENT_BYTES: usize = 28 * 1024;

/// One event: what happened, in which chat, when.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event<'a> {
    /// What happened.
    #[serde(flatten)]
    pub body: Body<'a>,
    /// The chat of the socket; absent only when the connection is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<&'a ChatId>,
    /// When the event was posted.
    pub timestamp: Timestamp,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Body<'a> {
    /// The first event on every socket.
    ConnectionEstablished {
        /// API Gateway's id of the socket.
        connection_id: &'a ConnectionId,
        /// The user at its other end.
        user_id: &'a UserId,
        /// When API Gateway closes it at the latest.
        expires_at: Timestamp,
        /// The answers that are streaming in the chat.
        active_streams: &'a [ActiveStream],
    },
    /// Once per user, right after their first connection was established.
    UserCreated {
        /// The user.
        user_id: &'a UserId,
    },
    /// A message of the user is stored.
    MessageReceived {
        /// Its id.
        message_id: &'a MessageId,
        /// Its position in the chat.
        seq: u32,
        /// Its text.
        content: &'a str,
        /// The client's id of the message.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_message_id: Option<&'a ClientMessageId>,
        /// The answer's id, if the message was received before: `resume` the answer unless it has arrived.
        #[serde(skip_serializing_if = "Option::is_none")]
        answer_id: Option<&'a MessageId>,
    },
    /// The answer begins.
    MessageStreamStarted {
        /// The answer's id.
        message_id: &'a MessageId,
        /// The answer's position in the chat.
        seq: u32,
        /// The message that is answered.
        in_reply_to: &'a MessageId,
        /// The model that answers.
        model: &'a str,
        /// The answer that this one replaces once it is complete.
        #[serde(skip_serializing_if = "Option::is_none")]
        replaces: Option<&'a MessageId>,
    },
    /// The next part of the answer.
    MessageStreamToken {
        /// The answer's id.
        message_id: &'a MessageId,
        /// Where the part starts in the answer, in bytes of UTF-8.
        offset: usize,
        /// Where the part ends.
        next_offset: usize,
        /// The part.
        token: &'a str,
    },
    /// The answer has ended and is stored.
    MessageStreamEnded {
        /// The answer's id.
        message_id: &'a MessageId,
        /// Why it ended.
        finish_reason: FinishReason,
        /// The whole answer, if it fits into one event.
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<&'a str>,
        /// Set when `content` is omitted because it does not fit.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        content_omitted: bool,
        /// The tokens used.
        usage: Usage,
        /// How long it took.
        timing: Timing,
    },
    /// The response to `ping`.
    Pong,
    /// Something failed.
    Error(ErrorReport<'a>),
}

impl<'a> Body<'a> {
    /// The event for a stored message of the user.
    #[must_use]
    pub fn received(message: &'a Message) -> Self {
        Self::received_again(message, None)
    }

    /// The event for a message of the user that was received before, and has this answer.
    #[must_use]
    pub fn received_again(message: &'a Message, answer: Option<&'a MessageId>) -> Self {
        Self::MessageReceived {
            message_id: &message.message_id,
            seq: message.seq,
            content: &message.content,
            client_message_id: message.client_message_id.as_ref(),
            answer_id: answer,
        }
    }
}

/// How long an answer took, from the moment the message arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timing {
    /// Until its first token, in milliseconds; the whole time if there was none.
    pub first_token_ms: u64,
    /// Until its end, in milliseconds.
    pub total_ms: u64,
}

/// An error as an event carries it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorReport<'a> {
    /// What failed.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::schema::ErrorObject"))]
    error: Value,
    /// The id to quote when reporting the error.
    request_id: &'a str,
    /// The answer that the error belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a MessageId>,
}

impl<'a> ErrorReport<'a> {
    /// Reports an error, of the answer `message_id` if it belongs to one. Its details say whether a retry may help.
    #[must_use]
    pub fn new(error: &ApiError, request_id: &'a str, message_id: Option<&'a MessageId>) -> Self {
        let mut json = error.to_json();
        json["details"]["retryable"] = Value::Bool(error.retryable());
        Self { error: json, request_id, message_id }
    }
}

/// The longest prefix of `text` that takes at most `max_bytes` inside a JSON string, cut between characters.
#[must_use]
pub fn json_prefix(text: &str, max_bytes: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        // RFC 8259, section 7; serde_json writes the short escapes where there are any.
        used += match character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\u{0}'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        if used > max_bytes {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_carries_type_chat_and_timestamp() {
        let chat = ChatId::generate();
        let event = Event { body: Body::Pong, chat_id: Some(&chat), timestamp: Timestamp::from_millis(0) };
        let json = serde_json::to_value(&event).expect("an event is JSON");
        assert_eq!(
            json,
            serde_json::json!({ "type": "pong", "chat_id": chat, "timestamp": "1970-01-01T00:00:00.000Z" })
        );
    }

    #[test]
    fn prefix_is_measured_as_json() {
        let text: String = (0..0x250_u32).filter_map(char::from_u32).chain("👩‍👩‍👧".chars()).collect();
        for max_bytes in 0..text.len() * 3 {
            let cut = json_prefix(&text, max_bytes);
            let written = |text: &str| serde_json::to_string(text).expect("text is JSON").len() - 2;
            assert!(written(cut) <= max_bytes);
            if let Some(next) = text[cut.len()..].chars().next() {
                let longer = &text[..cut.len() + next.len_utf8()];
                assert!(written(longer) > max_bytes, "one more character would not fit");
            }
        }
    }
}
