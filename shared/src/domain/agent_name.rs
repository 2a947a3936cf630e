//! The agents that a chat can choose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::input::Field;

/// An agent, by the name that chats use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AgentName {
    /// Repeats the user's message; needs no network and no key.
    Echo,
    /// A model behind an OpenAI-compatible endpoint.
    #[serde(rename = "openai")]
    OpenAi,
    /// A model of Amazon Bedrock.
    Bedrock,
}

impl AgentName {
    /// Parses a name; `None` when no such agent exists.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "echo" => Some(Self::Echo),
            "openai" => Some(Self::OpenAi),
            "bedrock" => Some(Self::Bedrock),
            _ => None,
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::OpenAi => "openai",
            Self::Bedrock => "bedrock",
        }
    }
}

impl Field for AgentName {
    const ALLOWED: &'static str = "the name of an agent: `echo`, `openai` or `bedrock`";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().and_then(Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_names_are_parsed() {
        for agent in [AgentName::Echo, AgentName::OpenAi, AgentName::Bedrock] {
            let written = serde_json::to_value(agent).expect("a name is JSON");
            assert_eq!((AgentName::read(&written), written.as_str()), (Some(agent), Some(agent.as_str())));
        }
        assert_eq!(AgentName::parse("open_ai"), None);
    }
}
