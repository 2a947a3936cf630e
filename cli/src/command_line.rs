//! The command line: which subcommand runs which program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{admin, dev, package, process, talk};

/// Chats between users and AI agents over REST and WebSocket.
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
    /// Talk to the model in the terminal: with a prompt, in a pipe, or as JSON.
    Talk(talk::Options),
    /// Create, show and change tenants, on this machine or on AWS.
    Tenant(Box<admin::tenant::Options>),
    /// Create, list, rotate and revoke the API keys of a tenant, on this machine or on AWS.
    Key(Box<admin::key::Options>),
    /// Export or erase the data of a user, on this machine or on AWS.
    User(Box<admin::user::Options>),
    /// Show what tenants have used and what it costs, on this machine or on AWS.
    Usage(Box<admin::usage::Options>),
    /// Build the functions for AWS into a folder from which `sam deploy` needs no Rust.
    Package(package::Options),
    /// Run DynamoDB Local with the template's tables, in memory, for tests.
    #[command(hide = true)]
    Dynamodb(dev::DynamoDbOptions),
    /// Print the path of Node.js, which is fetched if it is missing, for tests.
    #[command(hide = true)]
    Node,
    /// Stop the child processes of a `chat` that was killed. Started by `chat` itself.
    #[command(name = process::REAPER_COMMAND, hide = true)]
    Reaper,
}

/// Runs the subcommand that the arguments of this process name.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(options) => dev::run(*options),
        Command::Talk(options) => talk::run(options),
        Command::Tenant(options) => admin::tenant::run(*options),
        Command::Key(options) => admin::key::run(*options),
        Command::User(options) => admin::user::run(*options),
        Command::Usage(options) => admin::usage::run(*options),
        Command::Package(options) => package::run(options),
        Command::Dynamodb(options) => dev::run_dynamodb_only(options),
        Command::Node => dev::run_node_only(),
        Command::Reaper => process::run_reaper(),
    }
}
