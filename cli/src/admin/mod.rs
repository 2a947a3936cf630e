//! `chat tenant`, `chat key`, `chat user` and `chat usage`: what operators do with the tables of a stack.
//!
//! There is no admin API on the network. These commands write to the tables themselves, so an operator is someone whom
//! IAM permits to do so.

mod cause;
mod confirmation;
mod deployment;
mod erasure;
mod explain;
mod export;
mod failure;
mod help;
pub(crate) mod key;
mod lookup;
mod notices;
mod parse;
mod session;
mod sockets;
pub(crate) mod tenant;
pub(crate) mod usage;
pub(crate) mod user;
mod view;
