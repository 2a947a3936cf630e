//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{dev, key, package, process, tenant, user};

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
    /// Make, show and change tenants, here or on AWS.
    Tenant(Box<tenant::Options>),
    /// Make, list, replace and revoke the API keys of a tenant, here or on AWS.
    Key(Box<key::Options>),
    /// Hand out or erase what is stored of a user, here or on AWS.
    User(Box<user::Options>),
    /// Build the functions for AWS, and put them into a folder from which `sam deploy` needs no Rust.
    Package(package::Options),
    /// Runs a DynamoDB Local with the template's tables, for tests. Keeps nothing.
    #[command(hide = true)]
    Dynamodb(dev::DynamoDbOptions),
    /// Ends what a killed `chat` left running. Started by `chat` itself.
    #[command(name = process::GUARD_COMMAND, hide = true)]
    Guard,
}

/// Runs the command that the arguments of this process name.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(options) => dev::main(*options),
        Command::Tenant(options) => tenant::main(*options),
        Command::Key(options) => key::main(*options),
        Command::User(options) => user::main(*options),
        Command::Package(options) => package::main(options),
        Command::Dynamodb(options) => dev::dynamodb(options),
        Command::Guard => process::guard(),
    }
}
