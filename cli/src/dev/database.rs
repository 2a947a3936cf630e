//! `chat dynamodb`: the database of the stack without the stack, for tests that need no functions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use gateway::template::{Resource, Template};
use serde_json::json;

use super::dynamodb::{self, PORT_FLAG, Start};
use super::ports::Port;
use super::prerequisites::{self, Needs};
use super::state::State;
use super::stop::Stop;
use super::tables;
use super::tools::{DynamoDbLocal, Tools};
use super::workspace::Workspace;
use crate::process::{Children, Log};
use crate::terminal::Terminal;

/// The flags of `chat dynamodb`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DynamoDbOptions {
    /// The SAM template [default: the nearest one upwards]
    #[arg(long, value_name = "PATH")]
    template: Option<PathBuf>,
}

/// Runs until stdin is closed.
pub(super) async fn run(options: DynamoDbOptions, terminal: &Terminal) -> Result<()> {
    let stop = Stop::listen(true)?;
    let workspace = Workspace::find(options.template.as_deref()).await?;
    let resources = Template::load(&workspace.template, &BTreeMap::new())?.resources("AWS::DynamoDB::Table")?;
    let state = State::passing(&workspace.target)?;
    let log = Log::create(state.log("fetch"))?;
    let children = Children::new()?;
    let tools = Tools::new(&workspace.target, children.clone(), log);
    let ended = tokio::select! {
        ended = serve(tools, &state, &resources, &children, terminal) => ended,
        _ = stop.requested() => Ok(()),
    };
    children.stop().await;
    if ended.is_ok() {
        state.discard();
    }
    ended
}

async fn serve(
    tools: Tools,
    state: &State,
    resources: &[Resource],
    children: &Children,
    terminal: &Terminal,
) -> Result<()> {
    let needs = Needs { java: true, npm: !DynamoDbLocal::is_there(&tools), python: false };
    prerequisites::check(needs, terminal).await?;
    let tool = DynamoDbLocal::get(&tools, terminal).await?;
    let start = Start { tool: &tool, state, children, in_memory: true };
    let mut database = start.run(0, Port::choose(0, PORT_FLAG)?).await?;
    let endpoint = format!("http://127.0.0.1:{}", database.port.number);
    tables::create(&dynamodb::client(&endpoint), resources, "start another one").await?;
    terminal.event(&json!({"event": "ready", "dynamodb_endpoint": endpoint}));
    database.process.wait().await?;
    bail!("DynamoDB Local ended; its output is in {}", database.log.path().display())
}
