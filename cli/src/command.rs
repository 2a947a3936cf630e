//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{dev, process};

/// Chats between users and agents over REST and WebSocket.
#[derive(Debug, Parser)]
#[command(name = "chat", bin_name = "cargo chat", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole stack on this machine: DynamoDB Local, the functions with hot reload, the API on port 8000.
    Dev(Box<dev::Options>),
    /// Ends what a killed `chat` left running. Started by `chat` itself.
    #[command(name = process::GUARD_COMMAND, hide = true)]
    Guard,
}

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(options) => dev::main(*options),
        Command::Guard => process::guard(),
    }
}
