//! The `chat` command: the whole Chat API on a laptop with `chat dev`, its tenants and their keys anywhere with
//! `chat tenant` and `chat key`, what is stored of their users with `chat user`, and all that AWS needs of it with
//! `chat package`.
//!
//! One folder a subcommand. What subcommands share lies beside them: `terminal` is the only place that prints, `process`
//! the only one that starts and ends other programs, and `admin` reaches the tables, here or on AWS.

mod admin;
mod command;
mod dev;
mod file;
mod key;
mod package;
mod process;
mod table;
mod tenant;
mod terminal;
mod user;

pub use command::main;
