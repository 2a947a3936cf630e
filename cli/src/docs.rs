//! `chat docs`: the documents that describe the API to programs.
//!
//! Shapes come from the types that the functions send and receive; what a type cannot say (paths, statuses, headers,
//! examples) is said here. The documents are checked in below `docs/`, where the end-to-end tests hold every answer and
//! event against them.

mod asyncapi;
mod codes;
mod examples;
mod openapi;
mod schemas;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::terminal::Terminal;

/// Which document to print.
#[derive(Debug, Args)]
pub(crate) struct Options {
    document: Document,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// The REST API, as OpenAPI 3.1.
    Openapi,
    /// The WebSocket API, as AsyncAPI 3.0.
    Asyncapi,
}

impl Document {
    fn generate(self) -> Value {
        match self {
            Self::Openapi => openapi::document(),
            Self::Asyncapi => asyncapi::document(),
        }
    }
}

/// Prints a document.
pub(crate) fn main(options: Options) -> ExitCode {
    Terminal::new(false).line(format!("{:#}", options.document.generate()));
    ExitCode::SUCCESS
}
