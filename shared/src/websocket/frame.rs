//! Frames: what a client sends on a socket.

use serde_json::Value;

use super::event::{MAX_EVENT_BYTES, json_prefix};
use crate::domain::{
    error::{ApiError, Code},
    id::{ClientMessageId, MessageId},
    input::{Field, Fields},
};

/// The frame types, for errors.
const TYPES: &str = "`message`, `cancel`, `resume`, `regenerate`, `ping`";

/// What `message_received` needs beside the content of the message.
const ENVELOPE_BYTES: usize = 1024;

/// One frame of a client.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(tag = "type", rename_all = "snake_case"))]
pub enum Frame {
    /// The user sends a message.
    Message {
        /// Its text.
        content: Content,
        /// The client's id of the message: a frame with the same id is not answered again.
        #[cfg_attr(feature = "schema", schemars(rename = "client_message_id"))]
        client_id: Option<ClientMessageId>,
    },
    /// The user ends an answer.
    Cancel {
        /// The answer.
        message_id: MessageReference,
    },
    /// The client continues an answer from where it left off.
    Resume {
        /// The answer.
        message_id: MessageReference,
        /// The last `next_offset` that arrived, 0 for none.
        offset: Offset,
    },
    /// The user replaces the chat's last answer by a new one.
    Regenerate {
        /// The chat's last answer.
        message_id: MessageReference,
    },
    /// The client checks the connection.
    Ping,
}

/// The id of an answer, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MessageReference(String);

impl MessageReference {
    /// The id.
    ///
    /// # Errors
    ///
    /// `MESSAGE_NOT_FOUND` when the text is not an id: such an answer does not exist.
    pub fn id(&self) -> Result<MessageId, ApiError> {
        MessageId::parse(&self.0).ok_or_else(|| ApiError::message_not_found(&self.0))
    }
}

/// A position in an answer, in bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Offset(pub usize);

/// The text of a message: not empty, and small enough for one event.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minLength" = 1)))]
pub struct Content(String);

impl Content {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// `MESSAGE_TOO_LARGE`, `INVALID_JSON`, `UNKNOWN_TYPE`, or an error that names the field.
    pub fn read(text: &str) -> Result<Self, ApiError> {
        if text.len() > MAX_EVENT_BYTES {
            return Err(too_large(MAX_EVENT_BYTES).with_detail("got_bytes", text.len()));
        }
        let mut fields = Fields::from_json(text.as_bytes())?;
        let (by_type, by_action) = (fields.optional::<Type>("type")?, fields.optional::<Type>("action")?);
        let frame_type = by_type.or(by_action).map(|Type(name)| name);
        let frame = match frame_type.as_deref() {
            Some("message") => Self::message(&mut fields)?,
            None if fields.has("content") => Self::message(&mut fields)?,
            Some("cancel") => Self::Cancel { message_id: fields.required("message_id")? },
            Some("resume") => {
                Self::Resume { message_id: fields.required("message_id")?, offset: fields.required("offset")? }
            }
            Some("regenerate") => Self::Regenerate { message_id: fields.required("message_id")? },
            Some("ping") => Self::Ping,
            Some(other) => return Err(unknown_type(other)),
            None => return Err(ApiError::missing_parameter("type", TYPES)),
        };
        fields.finish()?;
        Ok(frame)
    }

    fn message(fields: &mut Fields) -> Result<Self, ApiError> {
        let content = fields.required::<Content>("content")?.checked()?;
        Ok(Self::Message { content, client_id: fields.optional("client_message_id")? })
    }
}

impl Field for MessageReference {
    const ALLOWED: &'static str = "the id of an answer, msg_…";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| text.len() <= 64).map(|text| Self(text.to_owned()))
    }
}

impl Field for Offset {
    const ALLOWED: &'static str = "the last next_offset that came, or 0";

    fn read(value: &Value) -> Option<Self> {
        usize::try_from(value.as_u64()?).ok().map(Self)
    }
}

impl Field for ClientMessageId {
    const ALLOWED: &'static str = "a text of 1 to 64 characters";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }
}

impl Content {
    const MAX_JSON_BYTES: usize = MAX_EVENT_BYTES - ENVELOPE_BYTES;

    fn checked(self) -> Result<Self, ApiError> {
        let fits = json_prefix(&self.0, Self::MAX_JSON_BYTES).len() == self.0.len();
        if fits { Ok(self) } else { Err(too_large(Self::MAX_JSON_BYTES).with_detail("field", "content")) }
    }
}

impl Field for Content {
    const ALLOWED: &'static str = "a text that is not blank";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| !text.trim().is_empty()).map(|text| Self(text.to_owned()))
    }
}

struct Type(String);

impl Field for Type {
    const ALLOWED: &'static str = TYPES;

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(|text| Self(text.to_owned()))
    }
}

fn too_large(allowed_bytes: usize) -> ApiError {
    ApiError::new(
        Code::MessageTooLarge,
        "The message is too large.",
        format!("Send at most {allowed_bytes} bytes of JSON text, or split it into several messages."),
    )
    .with_detail("allowed_bytes", allowed_bytes)
}

fn unknown_type(name: &str) -> ApiError {
    let got: String = name.chars().take(64).collect();
    ApiError::new(Code::UnknownType, "Messages of this type are unknown.", format!("Send one of: {TYPES}."))
        .with_detail("got", got)
        .with_detail("allowed", TYPES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Frame, Code> {
        Frame::read(text).map_err(|error| error.code())
    }

    #[test]
    fn message_needs_no_type() {
        let hello = Frame::Message { content: Content("Hello".to_owned()), client_id: None };
        for text in [
            r#"{"content":"Hello"}"#,
            r#"{"type":"message","content":"Hello"}"#,
            r#"{"action":"message","content":"Hello"}"#,
            r#"{"action":"message","type":"message","content":"Hello"}"#,
        ] {
            assert_eq!(read(text).as_ref(), Ok(&hello), "{text}");
        }
        assert_eq!(read(r#"{"type":"ping"}"#), Ok(Frame::Ping));
    }

    #[test]
    fn invalid_frames_have_their_codes() {
        for (text, code) in [
            ("hello", Code::InvalidJson),
            ("", Code::InvalidJson),
            ("[]", Code::InvalidJson),
            ("{}", Code::MissingParameter),
            (r#"{"type":"message"}"#, Code::MissingParameter),
            (r#"{"content":""}"#, Code::InvalidParameter),
            (r#"{"content":" \n\t\u3000"}"#, Code::InvalidParameter),
            (r#"{"content":"x","content":"y"}"#, Code::InvalidJson),
            (r#"{"content":5}"#, Code::InvalidParameter),
            (r#"{"content":null}"#, Code::MissingParameter),
            (r#"{"content":"x","client_message_id":""}"#, Code::InvalidParameter),
            (r#"{"type":"ping","client_message_id":"x"}"#, Code::UnknownField),
            (r#"{"type":5,"content":"x"}"#, Code::InvalidParameter),
            (r#"{"type":"cancel"}"#, Code::MissingParameter),
            (r#"{"type":"cancel","message_id":5}"#, Code::InvalidParameter),
            (r#"{"type":"cancel","message_id":"m","offset":0}"#, Code::UnknownField),
            (r#"{"type":"resume","message_id":"m"}"#, Code::MissingParameter),
            (r#"{"type":"resume","message_id":"m","offset":-1}"#, Code::InvalidParameter),
            (r#"{"type":"resume","message_id":"m","offset":1.5}"#, Code::InvalidParameter),
            (r#"{"type":"regenerate"}"#, Code::MissingParameter),
            (r#"{"type":"shout","content":"x"}"#, Code::UnknownType),
            (r#"{"content":"x","colour":"red"}"#, Code::UnknownField),
            (r#"{"type":"ping","content":"x"}"#, Code::UnknownField),
        ] {
            assert_eq!(read(text), Err(code), "{text}");
        }
    }

    #[test]
    fn content_is_limited_by_one_event() {
        let frame = |content: &str| serde_json::json!({ "content": content }).to_string();
        assert!(read(&frame(&"x".repeat(Content::MAX_JSON_BYTES))).is_ok());
        assert_eq!(read(&frame(&"x".repeat(Content::MAX_JSON_BYTES + 1))), Err(Code::MessageTooLarge));
        assert_eq!(read(&frame(&"\"".repeat(Content::MAX_JSON_BYTES / 2 + 1))), Err(Code::MessageTooLarge));
        assert_eq!(read(&frame(&"x".repeat(MAX_EVENT_BYTES))), Err(Code::MessageTooLarge));
    }
}
