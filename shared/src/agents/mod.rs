//! Agents: who answers. An agent turns a conversation into a stream of deltas; it knows nothing of sockets or tables.
//!
//! A new kind of agent is one file here, one variant of [`AgentName`], and one arm where `ws-message` picks it. Only
//! that function makes agents that call others; what it alone reaches is in no other binary.

mod bedrock;
mod conversation;
mod echo;
mod error;

mod openai;
mod retry;
#[cfg(test)]
mod server;

use futures_util::stream::BoxStream;

pub use bedrock::Bedrock;
pub use conversation::{Conversation, Turn};
pub use echo::{Echo, Pace};
pub use error::{AgentError, Failure};
pub use openai::{OpenAi, OpenAiSettings};

use crate::domain::{
    chat::ChatConfig,
    message::{FinishReason, Usage},
};

/// An answer as it comes, part by part.
pub type Deltas = BoxStream<'static, Result<Delta, AgentError>>;

/// Answers conversations.
pub trait Agent: Send + Sync {
    /// The name of the model that answers under this configuration, as events show it.
    fn model(&self, config: &ChatConfig) -> String;

    /// Begins the answer to a conversation whose last turn is the user's.
    ///
    /// Dropping the stream stops the agent.
    fn answer(&self, conversation: Conversation) -> Deltas;
}

/// The next part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Text to append; may be empty.
    pub content: String,
    /// Why the answer ends here, with the last part.
    pub finish_reason: Option<FinishReason>,
    /// What it cost, once the agent knows.
    pub usage: Option<Usage>,
}
