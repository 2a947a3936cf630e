//! Agents. An agent turns a conversation into a stream of deltas; it knows nothing of sockets or tables.
//!
//! May import `domain` and `runtime`. Within the layer each module may use those above it in this list and none below:
//! `conversation`, `error`, `agent` (the trait), `retry`, then one module per kind: `echo`, `openai`, `bedrock`.
//!
//! A new kind of agent is one file here, one variant of [`AgentName`](crate::domain::agent_name::AgentName), and one arm
//! where `ws-message` selects it. Only that function constructs agents that call a provider, so no other binary contains
//! their clients.

mod agent;
mod bedrock;
mod conversation;
mod echo;
mod error;
mod openai;
mod retry;

pub use agent::{Agent, Delta, Deltas};
pub use bedrock::Bedrock;
pub use conversation::{Conversation, Turn};
pub use echo::{Echo, Pace};
pub use error::{AgentError, Failure};
pub use openai::{KeySource, OpenAi, OpenAiSettings};
