//! `chat dev`: the whole stack on this machine.
//!
//! [`plan`] finds out what is to be started and whether it can be, [`stack`] starts it and looks after it. Whatever the
//! outcome, the children end before this program does.

mod build;
mod demo;
mod dynamodb;
mod environment;
mod functions;
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

pub(crate) use options::Options;

use crate::process::Children;
use crate::terminal::Terminal;
use plan::Plan;
use stack::{Ended, Stack};
use stop::Stop;

/// Runs the stack until it is told to stop.
pub(crate) fn main(options: Options) -> ExitCode {
    let terminal = Terminal::new(options.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal.error(format_args!("failed to start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(options, &terminal)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal.error(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
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
