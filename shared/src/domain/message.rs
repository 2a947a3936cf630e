//! Messages of users and assistants, in the order of `seq`.

use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{ChatId, ClientMessageId, MessageId},
    time::Timestamp,
    tokens::estimated_tokens,
};

/// A message as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// The message's id.
    pub message_id: MessageId,
    /// The chat that the message belongs to.
    pub chat_id: ChatId,
    /// Who wrote the message.
    pub role: Role,
    /// The text; while an assistant message streams, the part that is saved so far.
    pub content: String,
    /// The state of the message.
    pub status: Status,
    /// The position in the chat: 0, 1, 2… without gaps.
    pub seq: u32,
    /// When the message was stored; of an assistant message, when its generation started.
    pub created_at: Timestamp,
    /// When the generation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// The user message that this assistant message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// The id that the client gave the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// Why the generation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// The tokens used by the generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Role {
    /// The user.
    User,
    /// The agent.
    Assistant,
}

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Status {
    /// The whole text is stored.
    Complete,
    /// The generation runs.
    Streaming,
    /// A client cancelled the generation; the text so far is kept.
    Cancelled,
    /// The generation's owner died; the text saved so far is kept.
    Interrupted,
    /// The agent failed; the text so far is kept.
    Failed,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FinishReason {
    /// The model finished.
    Stop,
    /// The longest allowed text was reached.
    Length,
    /// A client cancelled the generation.
    Cancelled,
    /// The agent failed, or the generation's owner died.
    Error,
}

/// The tokens that a generation used, counted by the model, or estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Tokens of the request to the model.
    pub input_tokens: u32,
    /// Tokens of the generated text.
    pub output_tokens: u32,
    /// True if the model did not report the tokens, since the answer was cancelled or broke off. Left out otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Usage {
    /// Tokens that the model counted.
    #[must_use]
    pub fn reported(input_tokens: u32, output_tokens: u32) -> Self {
        Self { input_tokens, output_tokens, estimated: false }
    }

    /// The tokens of a request whose estimate is known, and of the text that the model sent until it was stopped.
    #[must_use]
    pub fn estimated(input_tokens: u32, text: &str) -> Self {
        Self { input_tokens, output_tokens: estimated_tokens(text), estimated: true }
    }

    /// Both together.
    #[must_use]
    pub fn tokens(self) -> u64 {
        u64::from(self.input_tokens) + u64::from(self.output_tokens)
    }
}
