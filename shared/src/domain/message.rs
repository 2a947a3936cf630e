//! Messages: what the user said and what the agent answered, in the order of `seq`.

use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{ChatId, ClientMessageId, MessageId},
    time::Timestamp,
};

/// A message as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// The message's id.
    pub message_id: MessageId,
    /// The chat that it is part of.
    pub chat_id: ChatId,
    /// Who speaks.
    pub role: Role,
    /// What is said; of an answer that still streams, what is stored of it so far.
    pub content: String,
    /// How far it has come.
    pub status: Status,
    /// Its place in the chat: 0, 1, 2… without a hole.
    pub seq: u32,
    /// When it was stored; of an answer, when it was begun.
    pub created_at: Timestamp,
    /// When the answer ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// The message that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// What the client called the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// Why the answer ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// What the answer cost, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Role {
    /// The person.
    User,
    /// The agent.
    Assistant,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Status {
    /// All of it is there.
    Complete,
    /// The agent is still at it.
    Streaming,
    /// The user had enough; what came before is kept.
    Cancelled,
    /// Whoever streamed it is gone; what was saved before is kept.
    Interrupted,
    /// The agent failed; what came before is kept.
    Failed,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FinishReason {
    /// The agent had no more to say.
    Stop,
    /// The answer reached the longest that is allowed.
    Length,
    /// The user had enough.
    Cancelled,
    /// The agent failed, or whoever streamed its answer is gone.
    Error,
}

/// The size of a question and its answer, in the model's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// What the model was given.
    pub input_tokens: u32,
    /// What the model gave.
    pub output_tokens: u32,
}
