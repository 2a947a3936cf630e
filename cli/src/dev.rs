//! `chat dev`: the whole stack on this machine.
//!
//! [`plan`] finds out what is to be started and whether it can be, [`stack`] starts it and looks after it. Whatever the
//! outcome, the children end before this program does.

mod agent;
mod build;
mod database;
mod demo;
mod dynamodb;
mod environment;
mod functions;
mod model;
mod options;
mod plan;
mod ports;
mod prerequisites;
mod ready;
mod request_log;
mod stack;
mod state;
mod stop;
mod tables;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use build::compile;
pub(crate) use database::DynamoDbOptions;
pub(crate) use environment::{ACCESS_KEY, REGION, SECRET_KEY};
pub(crate) use options::Options;
pub(crate) use tools::{CargoLambda, Tools, Zig};
pub(crate) use workspace::Workspace;

use crate::process::Children;
use crate::terminal::Terminal;
use plan::Plan;
use stack::{Ended, Stack};
use stop::Stop;

/// Runs the stack until it is told to stop.
pub(crate) fn main(options: Options) -> ExitCode {
    let terminal = Terminal::new(options.json);
    let stack = async { run(options, &terminal).await.map(ExitCode::from) };
    block_on(stack, &terminal)
}

/// Runs the database alone until stdin is closed.
pub(crate) fn dynamodb(options: DynamoDbOptions) -> ExitCode {
    let terminal = Terminal::new(true);
    let database = async { database::run(options, &terminal).await.map(|()| ExitCode::SUCCESS) };
    block_on(database, &terminal)
}

/// Does some work, and says why if it cannot be done.
pub(crate) fn block_on(work: impl Future<Output = Result<ExitCode>>, terminal: &Terminal) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal.error(format_args!("failed to start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(work).unwrap_or_else(|error| {
        terminal.error(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn run(options: Options, terminal: &Terminal) -> Result<u8> {
    request_log::init(terminal.clone());
    let stop = Stop::listen(options.stop_on_stdin_eof)?;
    let plan = Plan::make(options).await?;
    let children = Children::new()?;
    let stack = Stack { plan: &plan, children: &children, terminal };
    let ended = Box::pin(stack.run(&stop)).await;
    let stopping = ended.is_ok().then(|| terminal.step("Stopping"));
    children.stop().await;
    let Ended { reason, was_ready } = ended?;
    plan.state.discard();
    if let Some(step) = stopping {
        step.done("Stopped");
    }
    Ok(reason.exit_code(was_ready))
}
