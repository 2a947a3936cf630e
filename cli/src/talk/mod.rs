//! `chat talk`: a chat in the terminal, through the API as any application uses it.
//!
//! A terminal gets a prompt with commands, a pipe the text of one answer, a program (`--json`) every event.

mod commands;
mod conversation;
mod echo_off;
mod events;
mod options;
mod pipe;
mod prompt;
mod run;
mod terminal_chat;
mod view;
mod wait;

pub(crate) use options::Options;
pub(crate) use run::run;
