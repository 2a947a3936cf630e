//! The trait of all agents, and the deltas that they stream.

use futures_util::stream::BoxStream;

use super::{conversation::Conversation, error::AgentError};
use crate::domain::{
    chat::ChatConfig,
    message::{FinishReason, Usage},
};

/// The deltas of one assistant message, as the agent produces them.
pub type Deltas = BoxStream<'static, Result<Delta, AgentError>>;

/// Turns a conversation into the next assistant message.
pub trait Agent: Send + Sync {
    /// The name of the model that this configuration selects, as events show it.
    fn model(&self, config: &ChatConfig) -> String;

    /// Streams the response to a conversation whose last turn is the user's.
    ///
    /// Dropping the stream stops the agent.
    fn respond(&self, conversation: Conversation) -> Deltas;
}

/// The next part of an assistant message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Text to append; may be empty.
    pub content: String,
    /// Why the message ends here; set in its last part.
    pub finish_reason: Option<FinishReason>,
    /// The tokens used, once the agent knows them.
    pub usage: Option<Usage>,
}
