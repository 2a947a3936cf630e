//! The streaming engine: one answer, from the agent to the table and to every socket of the chat.
//!
//! The agent's text grows in one place, the `feed`. Each socket has a writer with its own cursor into it, which posts
//! what has come since its last post, one post at a time. So order holds, nobody waits for the slowest socket, and what
//! gathers while a post is in flight leaves in one frame.

mod feed;
mod stream;
mod writer;

pub use stream::{Answering, stream};
