//! `cargo xtask`: tasks for the developers of this project. What users and operators run is in `cli`.

mod docs;
mod record_items;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks for the developers of this project.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write docs/openapi.json and docs/asyncapi.json from the types of the API.
    Docs(docs::Options),
    /// Record the items that this version stores, for the tests of storage compatibility.
    RecordItems,
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Docs(options) => docs::run(&options),
        Task::RecordItems => record_items::run(),
    }
}
