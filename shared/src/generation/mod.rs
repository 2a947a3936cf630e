//! Answers on their way from an agent to the sockets of a chat, and into its history.
//!
//! The agent's text grows in one place, a feed. Each socket has a writer with its own cursor into it, which posts
//! what has come since its last post, one post at a time. So order holds, nobody waits for the slowest socket, and what
//! gathers while a post is in flight leaves in one frame. Beside them a heartbeat saves the text as it grows and looks what
//! others want of the answer. What has ended is replayed through the same writers.

mod context_window;
mod fan_out;
mod generate;
mod heartbeat;
mod prefetch;
mod replay;
mod socket_writer;
mod takeover;
mod text_buffer;

pub use context_window::{CONTEXT_MESSAGES, context_window};
pub use fan_out::ChatConnections;
pub use generate::{GenerationContext, generate};
pub use prefetch::prefetch;
pub use replay::{announce_end, replay};
pub use socket_writer::StartAt;
pub use takeover::{TakeoverResult, take_over, take_over_expired};
