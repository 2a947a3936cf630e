//! One assistant message, from the agent to the sockets of its chat and into storage.
//!
//! The agent's text grows in one text buffer. Each socket has a writer with its own cursor, which posts the text that has
//! gathered since its last post, one post at a time. So order holds, and a slow socket slows neither the agent nor another
//! socket. A heartbeat saves the text, renews the generation lease and polls stream commands. A finished generation is
//! replayed through the same writers.
//!
//! May import every layer above: `domain`, `runtime`, `storage`, `auth`, `agents`, `websocket`. Within the layer each
//! module may use those above it in this list and none below:
//!
//! | module | what lives there |
//! |---|---|
//! | `coalescing` | when the next token frame may leave |
//! | `timings` | all intervals of the engine, as one value |
//! | `context_window` | the turns of a chat that an agent gets, and how much is read for them |
//! | `end` | how a generation ends |
//! | `text_buffer` | the growing text, watched by the writers |
//! | `prefetch` | reading from the agent before the message is stored |
//! | `store` | the interface to storage: what the owner of a lease reads and writes |
//! | `sockets` | the interface to the chat's connections: find, post, forget |
//! | `message_stream` | what all writers of one message share |
//! | `socket_writer` | the events of one socket |
//! | `fan_out` | the writers of all sockets |
//! | `owned_generation` | what the tasks of a running generation share |
//! | `stream_commands` | cancel and resume, as the owner handles them |
//! | `heartbeat` | saving, lease renewal, command polling |
//! | `forward_deltas` | from the agent to the buffer |
//! | `finish` | storing the outcome |
//! | `generate` | a generation from start to end |
//! | `replay` | a finished generation, posted again or announced after a takeover |
//! | `takeover` | ending a generation whose owner is gone |
//! | `lost_generations` | searching those of a tenant at its limit |

mod coalescing;
mod context_window;
mod end;
mod fan_out;
mod finish;
mod forward_deltas;
mod generate;
mod heartbeat;
mod lost_generations;
mod message_stream;
mod owned_generation;
mod prefetch;
mod replay;
mod socket_writer;
mod sockets;
mod store;
mod stream_commands;
mod takeover;
#[cfg(test)]
mod tests;
mod text_buffer;
mod timings;

pub use context_window::{FIRST_MESSAGES, context_window, input_tokens, messages_to_read, most_input_tokens};
pub use generate::{GenerationContext, generate};
pub use lost_generations::LostGenerationSearch;
pub use prefetch::prefetch;
pub use replay::{announce_end, replay};
pub use socket_writer::JoinAt;
pub use sockets::ChatConnections;
pub use takeover::{TakeoverResult, take_over, take_over_expired, take_over_lost};
