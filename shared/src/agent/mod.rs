//! Agents: who answers. An agent turns a conversation into a stream of deltas; it knows nothing of sockets or tables.
//!
//! A new kind of agent is one file here, one variant of [`AgentName`], and one arm where a function builds it.

mod echo;

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use echo::{Echo, Pace};

use crate::{
    chat::ChatConfig,
    input::Field,
    message::{FinishReason, Role, Usage},
};

/// Answers conversations.
pub trait Agent: Send + Sync {
    /// The name of the model that answers under this configuration, as events show it.
    fn model(&self, config: &ChatConfig) -> String;

    /// Begins the answer to a conversation whose last turn is the user's.
    ///
    /// Dropping the stream stops the agent.
    fn answer(&self, conversation: Conversation) -> BoxStream<'static, Result<Delta, AgentError>>;
}

/// The agents that a chat can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AgentName {
    /// Says again what it was told; needs no network and no key.
    Echo,
}

impl AgentName {
    /// Reads a name; `None` when there is no such agent.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        (name == "echo").then_some(Self::Echo)
    }
}

impl Field for AgentName {
    const ALLOWED: &'static str = "the name of an agent: `echo`";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }
}

/// What an agent is asked.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What was said, oldest first; the last turn is the user's.
    pub turns: Vec<Turn>,
    /// How the answer is wanted.
    pub config: ChatConfig,
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
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

/// Why an agent could not answer, or not to the end.
#[derive(Debug, thiserror::Error)]
#[error("failed to get the answer from the agent")]
pub struct AgentError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
