//! What is to be started, and everything that can be known to be wrong before the slow steps.

use anyhow::{Context, Result, bail};
use gateway::template::{Function, Resource, Template};

use super::agent;
use super::dynamodb;
use super::environment;
use super::options::Options;
use super::ports::Port;
use super::state::State;
use super::workspace::Workspace;

/// The flag that asks for another port of the API.
pub(super) const PORT_FLAG: &str = "--port";
/// The flag that asks for another port of the Invoke API.
pub(super) const INVOKE_PORT_FLAG: &str = "--invoke-port";

/// A stack that nothing speaks against, so far.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) workspace: Workspace,
    pub(super) state: State,
    pub(super) template: Template,
    pub(super) functions: Vec<Function>,
    pub(super) tables: Vec<Resource>,
}

impl Plan {
    pub(super) async fn make(options: Options) -> Result<Self> {
        let parameters = agent::parameters(&options)?;
        let workspace = Workspace::find(options.template.as_deref()).await?;
        let template = Template::load(&workspace.template, &parameters)
            .with_context(|| format!("failed to read {}", workspace.shown(&workspace.template)))?;
        let functions = template.functions()?;
        if functions.is_empty() {
            bail!("{} has no functions", workspace.shown(&workspace.template));
        }
        workspace.require_binaries(functions.iter().map(|function| function.name.as_str()))?;
        if !options.no_reload {
            environment::of_all(&functions, &environment::local("", "", None))?;
        }
        let tables = template.resources("AWS::DynamoDB::Table")?;

        Port::choose(options.port, PORT_FLAG)?;
        Port::choose(options.invoke_port, INVOKE_PORT_FLAG)?;
        let passing = options.in_memory || options.dynamodb_endpoint.is_some();
        if options.dynamodb_endpoint.is_none() {
            Port::choose(options.dynamodb_port, dynamodb::PORT_FLAG)?;
        }
        let state = if passing {
            State::passing(&workspace.target)?
        } else {
            State::lasting(&workspace.target, options.reset)?
        };
        Ok(Self { options, workspace, state, template, functions, tables })
    }
}
