#![doc = include_str!("../README.md")]

pub mod event;
pub mod resources;

mod answer;
mod api;
mod chat;
mod command;
mod connection;
mod error;
mod frame;
mod random_id;
mod session;
mod socket;
mod source;
mod timing;

#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerEnd};
pub use api::{ChatApi, Page};
pub use chat::{Chat, Timeouts, Update, Updates};
pub use connection::State;
pub use error::{ChatError, Code, ErrorBody};
pub use event::Event;
pub use frame::Frame;
pub use resources::NewChat;
pub use socket::Socket;
pub use source::Source;
