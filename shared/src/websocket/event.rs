//! What the server says on a socket.

use serde::Serialize;
use serde_json::Value;

use crate::domain::{
    error::ApiError,
    generation::ActiveStream,
    id::{ChatId, ClientMessageId, ConnectionId, MessageId, UserId},
    message::{FinishReason, Message, Usage},
    time::Timestamp,
};

/// The largest event, in bytes. Clients may send no more than that either: API Gateway bills by 32 KB and closes a
/// socket on a larger frame.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
pub const MAX_EVENT_BYTES: usize = 28 * 1024;

/// One event: what happened, in which chat, when.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event<'a> {
    /// What happened.
    #[serde(flatten)]
    pub body: Body<'a>,
    /// The chat of the socket; absent only when the socket is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<&'a ChatId>,
    /// When it was said.
    pub timestamp: Timestamp,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Body<'a> {
    /// The first event on every socket.
    ConnectionEstablished {
        /// API Gateway's name for the socket.
        connection_id: &'a ConnectionId,
        /// The user at its other end.
        user_id: &'a UserId,
        /// When API Gateway will end it at the latest.
        expires_at: Timestamp,
        /// The answers that are being streamed in the chat.
        active_streams: &'a [ActiveStream],
    },
    /// Once in a user's life, right after the first connection was established.
    UserCreated {
        /// The user.
        user_id: &'a UserId,
    },
    /// A message of the user is stored for good.
    MessageReceived {
        /// Its id.
        message_id: &'a MessageId,
        /// Its place in the chat.
        seq: u32,
        /// What was said.
        content: &'a str,
        /// What the client called the message.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_message_id: Option<&'a ClientMessageId>,
    },
    /// The answer begins.
    MessageStreamStarted {
        /// The answer's id.
        message_id: &'a MessageId,
        /// The answer's place in the chat.
        seq: u32,
        /// The message that is answered.
        in_reply_to: &'a MessageId,
        /// The model that answers.
        model: &'a str,
        /// The answer whose place this one takes, once it has ended well.
        #[serde(skip_serializing_if = "Option::is_none")]
        replaces: Option<&'a MessageId>,
    },
    /// The next part of the answer.
    MessageStreamToken {
        /// The answer's id.
        message_id: &'a MessageId,
        /// Where the part begins in the answer, in bytes of UTF-8.
        offset: usize,
        /// Where it ends.
        next_offset: usize,
        /// The part.
        token: &'a str,
    },
    /// The answer is over, and stored.
    MessageStreamEnded {
        /// The answer's id.
        message_id: &'a MessageId,
        /// Why it is over.
        finish_reason: FinishReason,
        /// All of it, if that fits into one event.
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<&'a str>,
        /// Set when `content` is left out because it does not fit.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        content_omitted: bool,
        /// What it cost.
        usage: Usage,
        /// How long it took.
        timing: Timing,
    },
    /// The answer to `ping`.
    Pong,
    /// Something did not work.
    Error(ErrorReport<'a>),
}

impl<'a> Body<'a> {
    /// The event for a message of the user that is stored.
    #[must_use]
    pub fn received(message: &'a Message) -> Self {
        Self::MessageReceived {
            message_id: &message.message_id,
            seq: message.seq,
            content: &message.content,
            client_message_id: message.client_message_id.as_ref(),
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

/// An error as a socket gets it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorReport<'a> {
    /// What did not work.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::schema::ErrorObject"))]
    error: Value,
    /// What to name when reporting the error.
    request_id: &'a str,
    /// The answer that the error belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a MessageId>,
}

impl<'a> ErrorReport<'a> {
    /// Reports an error, of the answer `message_id` if it belongs to one. Its details say whether to try again.
    #[must_use]
    pub fn new(error: &ApiError, request_id: &'a str, message_id: Option<&'a MessageId>) -> Self {
        let mut json = error.to_json();
        json["details"]["retryable"] = Value::Bool(error.retryable());
        Self { error: json, request_id, message_id }
    }
}

/// The longest beginning of `text` that takes at most `budget` bytes inside a JSON string, cut between characters.
#[must_use]
pub fn fitting(text: &str, budget: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        // RFC 8259, section 7; serde_json writes the short forms where there are any.
        used += match character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\u{0}'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        if used > budget {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_type_chat_and_time() {
        let chat = ChatId::generate();
        let event = Event { body: Body::Pong, chat_id: Some(&chat), timestamp: Timestamp::from_millis(0) };
        let json = serde_json::to_value(&event).expect("an event is JSON");
        assert_eq!(
            json,
            serde_json::json!({ "type": "pong", "chat_id": chat, "timestamp": "1970-01-01T00:00:00.000Z" })
        );
    }

    #[test]
    fn fitting_counts_as_json_does() {
        let text: String = (0..0x250_u32).filter_map(char::from_u32).chain("👩‍👩‍👧".chars()).collect();
        for budget in 0..text.len() * 3 {
            let cut = fitting(&text, budget);
            let written = |text: &str| serde_json::to_string(text).expect("text is JSON").len() - 2;
            assert!(written(cut) <= budget);
            if let Some(next) = text[cut.len()..].chars().next() {
                let longer = &text[..cut.len() + next.len_utf8()];
                assert!(written(longer) > budget, "one more character would not fit");
            }
        }
    }
}
