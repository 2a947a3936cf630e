//! Answers on their way from an agent to the sockets of a chat, and into its history.
//!
//! The agent's text grows in one place, a feed. Each socket has a writer with its own cursor into it, which posts
//! what has come since its last post, one post at a time. So order holds, nobody waits for the slowest socket, and what
//! gathers while a post is in flight leaves in one frame. Beside them a keeper saves the text as it grows and looks what
//! others want of the answer. What has ended is replayed through the same writers.

mod ahead;
mod feed;
mod keeper;
mod replay;
mod stream;
mod writer;
mod writers;

pub use ahead::ahead;
pub use replay::{replay, tell_end};
pub use stream::{Answering, stream};
pub use writer::Beginning;
pub use writers::Sockets;
