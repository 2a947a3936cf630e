//! `chat dynamodb`: the database of the stack without the stack, for tests that need no functions.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use gateway::template::{Resource, Template};
use serde_json::json;

use super::{
    dynamodb::{self, DynamoDbSettings, PORT_FLAG},
    failure::fail,
    ports::Port,
    prerequisites::{self, Installed, Required},
    run_folder::RunFolder,
    shutdown::Shutdown,
    tables,
};
use crate::{
    async_runtime,
    cargo::Workspace,
    process::{Children, Log},
    terminal::Terminal,
    tools::{DynamoDbLocal, ToolFolder},
};

/// The flags of `chat dynamodb`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DynamoDbOptions {
    /// The SAM template [default: the nearest in this folder or above]
    #[arg(long, value_name = "PATH")]
    template: Option<PathBuf>,
}

/// Runs the command, until stdin is closed.
pub(crate) fn run(options: DynamoDbOptions) -> ExitCode {
    let terminal = Terminal::new(true);
    match async_runtime::block_on(run_database(options, &terminal)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, &terminal),
    }
}

async fn run_database(options: DynamoDbOptions, terminal: &Terminal) -> Result<()> {
    let shutdown = Shutdown::listen(true)?;
    let workspace = Workspace::find(options.template.as_deref()).await?;
    let resources = Template::load(&workspace.template, &BTreeMap::new())?.resources("AWS::DynamoDB::Table")?;
    let run_folder = RunFolder::temporary(&workspace.target)?;
    let log = Log::create(run_folder.log("fetch"))?;
    let children = Children::new()?;
    let tools = ToolFolder::new(&workspace.target, children.clone(), log);
    let end = tokio::select! {
        end = serve(tools, &run_folder, &resources, &children, terminal) => end,
        _ = shutdown.requested() => Ok(()),
    };
    children.stop().await;
    if end.is_ok() {
        run_folder.delete_if_temporary();
    }
    end
}

async fn serve(
    tools: ToolFolder,
    run_folder: &RunFolder,
    resources: &[Resource],
    children: &Children,
    terminal: &Terminal,
) -> Result<()> {
    let required = Required { java: true, node: !DynamoDbLocal::is_installed(&tools), python: false };
    let Installed { java, node } = prerequisites::check(required, &tools, terminal).await?;
    let tool = DynamoDbLocal::get(java, node, &tools, terminal).await?;
    let settings = DynamoDbSettings { tool: &tool, run_folder, children, in_memory: true };
    let mut database = settings.start(0, Port::choose(0, PORT_FLAG)?).await?;
    let endpoint = format!("http://127.0.0.1:{}", database.port.number);
    tables::create(&dynamodb::client(&endpoint), resources, "start another DynamoDB Local").await?;
    terminal.event(&json!({"event": "ready", "dynamodb_endpoint": endpoint}));
    database.process.wait().await?;
    bail!("DynamoDB Local exited: its output is in {}", database.log.path().display())
}
