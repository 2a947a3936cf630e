//! What the REST API stores and returns. docs/openapi.json has the schemas. Times are texts as of RFC 3339.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::{FinishReason, Usage};

/// A chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatInfo {
    /// The chat's id.
    pub chat_id: String,
    /// Its user.
    pub user_id: String,
    /// Its title.
    pub title: Option<String>,
    /// What the app stores with it.
    pub metadata: Map<String, Value>,
    /// How its answers are made.
    pub config: ChatConfig,
    /// Messages of both sides.
    pub message_count: u32,
    /// When it was created.
    pub created_at: String,
    /// When it was changed.
    pub updated_at: String,
    /// When the last message was stored.
    pub last_message_at: Option<String>,
}

/// How the answers of a chat are made. What is `None` is the tenant's or the operator's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatConfig {
    /// `echo`, `openai` or `bedrock`.
    pub agent: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// What the model is told before the conversation.
    pub system_prompt: Option<String>,
}

/// A chat to create.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NewChat {
    /// Its user.
    pub user_id: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the app stores with it: at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// How its answers are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ChatConfig>,
}

impl NewChat {
    /// A chat of a user, with defaults for all else.
    #[must_use]
    pub fn of_user(user_id: &str) -> Self {
        Self { user_id: user_id.to_owned(), ..Self::default() }
    }
}

/// What to change of a chat: `None` keeps a field, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatChange {
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Option<String>>,
    /// What the app stores with it, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Option<Map<String, Value>>>,
    /// How its answers are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigChange>,
}

/// What to change of a chat's configuration: `None` keeps a field, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ConfigChange {
    /// `echo`, `openai` or `bedrock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Option<String>>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Option<String>>,
    /// From 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Option<f64>>,
    /// The longest answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<Option<u32>>,
    /// What the model is told before the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<Option<String>>,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The message's id.
    pub message_id: String,
    /// Its chat.
    pub chat_id: String,
    /// Its position in the chat.
    pub seq: u32,
    /// Who wrote it.
    pub role: Role,
    /// Its text; of an answer that streams, the text that is stored so far.
    pub content: String,
    /// Where it stands.
    pub status: Status,
    /// The client's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// The tokens used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// When it was stored.
    pub created_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A role that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It has ended.
    Complete,
    /// It is being written.
    Streaming,
    /// A client cancelled it.
    Cancelled,
    /// The process that streamed it died.
    Interrupted,
    /// The model failed.
    Failed,
    /// A status that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Some chats of a user, most recently active first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatPage {
    /// The chats.
    pub chats: Vec<ChatInfo>,
    /// How many there are.
    pub total: u32,
    /// How many were asked for.
    pub limit: u32,
    /// How many come before them.
    pub offset: u32,
    /// Whether more come after them.
    pub has_more: bool,
}

/// Some messages of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<Message>,
    /// How many there are.
    pub total: u32,
    /// How many were asked for.
    pub limit: u32,
    /// How many come before them.
    pub offset: u32,
    /// Whether more come after them.
    pub has_more: bool,
}

/// A ticket: it opens one connection to its chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The secret.
    pub ticket: String,
    /// The address of the connection, with the secret.
    pub url: String,
    /// When it expires.
    pub expires_at: String,
}
