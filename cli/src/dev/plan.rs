//! What to start, with every check that is possible before the slow steps.

use anyhow::{Context, Result, bail};
use gateway::template::{Function, Resource, Template};

use super::{
    dynamodb, environment, options::Options, parameters::template_parameters, ports::Port, run_folder::RunFolder,
};
use crate::{cargo::Workspace, process::OPENAI_API_KEY};

/// The flag for the port of the API.
pub(super) const PORT_FLAG: &str = "--port";
/// The flag for the port of the Invoke API.
pub(super) const INVOKE_PORT_FLAG: &str = "--invoke-port";

/// A stack that passed all checks.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) workspace: Workspace,
    pub(super) run_folder: RunFolder,
    pub(super) template: Template,
    pub(super) functions: Vec<Function>,
    pub(super) tables: Vec<Resource>,
}

impl Plan {
    pub(super) async fn new(options: Options) -> Result<Self> {
        let has_openai_key = std::env::var_os(OPENAI_API_KEY).is_some_and(|key| !key.is_empty());
        let parameters = template_parameters(&options, has_openai_key)?;
        let workspace = Workspace::find(options.template.as_deref()).await?;
        let template = Template::load(&workspace.template, &parameters)
            .with_context(|| format!("failed to read {}", workspace.relative(&workspace.template)))?;
        let functions = template.functions()?;
        if functions.is_empty() {
            bail!("{} contains no functions", workspace.relative(&workspace.template));
        }
        workspace.require_binaries(functions.iter().map(|function| function.name.as_str()))?;
        if !options.no_reload {
            environment::of_all(&functions, &environment::local("", "", None))?;
        }
        let tables = template.resources("AWS::DynamoDB::Table")?;

        Port::choose(options.port, PORT_FLAG)?;
        Port::choose(options.invoke_port, INVOKE_PORT_FLAG)?;
        let is_temporary = options.in_memory || options.dynamodb_endpoint.is_some();
        if options.dynamodb_endpoint.is_none() {
            Port::choose(options.dynamodb_port, dynamodb::PORT_FLAG)?;
        }
        let run_folder = if is_temporary {
            RunFolder::temporary(&workspace.target)?
        } else {
            RunFolder::persistent(&workspace.target, options.reset)?
        };
        Ok(Self { options, workspace, run_folder, template, functions, tables })
    }
}
