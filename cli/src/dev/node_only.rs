//! `chat node`: finds or fetches Node.js, for tests that run the examples of the documentation.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::{failure::fail, run_folder::RunFolder};
use crate::{
    async_runtime,
    cargo::Workspace,
    process::{Children, Log},
    terminal::Terminal,
    tools::{Node, ToolFolder},
};

/// Runs the command: prints the program's path.
pub(crate) fn run() -> ExitCode {
    let terminal = Terminal::new(true);
    match async_runtime::block_on(print(&terminal)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, &terminal),
    }
}

async fn print(terminal: &Terminal) -> Result<()> {
    let workspace = Workspace::find(None).await?;
    let run_folder = RunFolder::temporary(&workspace.target)?;
    let tools = ToolFolder::new(&workspace.target, Children::new()?, Log::create(run_folder.log("fetch"))?);
    let node = match Node::find(&tools).await {
        Some(node) => node,
        None => Node::fetch(&tools, terminal).await?,
    };
    terminal.event(&json!({"event": "ready", "node": node.program}));
    run_folder.delete_if_temporary();
    Ok(())
}
