//! The `chat` command: the whole Chat API on a laptop with `chat dev`.
//!
//! One folder a subcommand. What subcommands share lies beside them: `terminal` is the only place that prints, and
//! `process` the only one that starts and ends other programs.

mod command;
mod dev;
mod process;
mod terminal;

pub use command::main;
