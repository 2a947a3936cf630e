//! Generations: how an assistant message comes to be, and how it ends.

use serde::Serialize;

use crate::domain::{
    budget::Reservation,
    id::MessageId,
    message::{FinishReason, Message, Status, Usage},
};

/// What a generation starts with.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenerationRequest<'a> {
    /// The model's name, as the generation's events show it.
    pub model: &'a str,
    /// The estimated tokens of the request to the model.
    pub input_tokens: u32,
    /// What the generation takes of its tenant's budget.
    pub reservation: Option<Reservation>,
}

/// A running generation as `connection_established` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActiveStream {
    /// The assistant message.
    pub message_id: MessageId,
    /// The assistant message's place in the chat.
    pub seq: u32,
    /// The message that is being answered.
    pub in_reply_to: MessageId,
    /// The answer that this one replaces once it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
}

/// How a generation ended, as its owner stores it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The whole text.
    pub content: String,
    /// `complete`, `cancelled` or `failed`.
    pub status: Status,
    /// Why the generation ended.
    pub finish_reason: FinishReason,
    /// How many tokens it took.
    pub usage: Usage,
    /// From the user's message to the first token; `None` when there was no token.
    pub first_token_ms: Option<u64>,
}

/// An assistant message with what its events show beside it.
#[derive(Clone, Debug)]
pub struct FinishedGeneration {
    /// The message, with all of its text that is saved.
    pub message: Message,
    /// The assistant message that a regeneration was to replace.
    pub replaces: Option<MessageId>,
    /// The model that generated it.
    pub model: String,
    /// From the user's message to the first token, if that is known.
    pub first_token_ms: Option<u64>,
}
