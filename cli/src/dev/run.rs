//! Runs the stack until it is asked to stop.

use std::process::ExitCode;

use anyhow::Result;

use super::{
    failure::fail,
    options::Options,
    plan::Plan,
    request_log,
    shutdown::Shutdown,
    stack::{Stack, StackEnd},
};
use crate::{async_runtime, process::Children, terminal::Terminal};

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let terminal = Terminal::new(options.json);
    match async_runtime::block_on(run_stack(options, &terminal)) {
        Ok(code) => code.into(),
        Err(error) => fail(&error, &terminal),
    }
}

async fn run_stack(options: Options, terminal: &Terminal) -> Result<u8> {
    request_log::start(terminal.clone());
    let shutdown = Shutdown::listen(options.stop_on_stdin_eof)?;
    let plan = Plan::new(options).await?;
    let children = Children::new()?;
    let stack = Stack { plan: &plan, children: &children, terminal };
    let end = Box::pin(stack.run(&shutdown)).await;
    let stopping = end.is_ok().then(|| terminal.step("Stopping"));
    children.stop().await;
    let StackEnd { reason, was_ready } = end?;
    plan.run_folder.delete_if_temporary();
    if let Some(step) = stopping {
        step.done("Stopped");
    }
    Ok(reason.exit_code(was_ready))
}
