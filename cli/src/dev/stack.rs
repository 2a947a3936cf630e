//! The stack: started part by part, then looked after until it is told to stop.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use aws_sdk_dynamodb::Client;
use gateway::{Gateway, GatewayError};
use tokio::time::Instant;
use tokio::{select, try_join};

use super::agent::Agent;
use super::dynamodb::{self, DynamoDb};
use super::environment::{self, Environment};
use super::functions::{Emulator, Output, Setup, Supervisor};
use super::model::{self, Model};
use super::plan::{INVOKE_PORT_FLAG, PORT_FLAG, Plan};
use super::ports::{self, Port};
use super::prerequisites::{self, Needs};
use super::ready::{Ready, WEBSOCKET_PATH};
use super::stop::{Reason, Stop};
use super::tools::{CargoLambda, DynamoDbLocal, LocalLlm, Tools};
use super::{build, demo, tables};
use crate::process::{Children, Log};
use crate::terminal::Terminal;

/// How often a port may turn out to be taken that was free a moment ago.
const ATTEMPTS: usize = 3;

/// How a stack ended with which nothing was wrong.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) reason: Reason,
    pub(super) was_ready: bool,
}

/// What it takes to start a stack.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    pub(super) plan: &'a Plan,
    pub(super) children: &'a Children,
    pub(super) terminal: &'a Terminal,
}

/// A DynamoDB with the tables in it.
struct Database {
    /// None if it is not ours.
    local: Option<DynamoDb>,
    endpoint: String,
    client: Client,
}

/// The two ends of the functions: the emulator behind them and the gateway in front, which know each other's ports.
struct Front {
    gateway: Gateway,
    emulator: Emulator,
    invoke_port: Port,
    local: Environment,
}

/// All parts, running.
struct Parts {
    database: Database,
    /// The agent's model, where it runs here.
    model: Option<Model>,
    front: Front,
    /// Process ids of the functions, where they are ours.
    functions: Option<BTreeMap<String, i32>>,
}

/// The tools of this start.
struct Fetched {
    cargo_lambda: CargoLambda,
    dynamodb_local: Option<DynamoDbLocal>,
    local_llm: Option<LocalLlm>,
}

impl Stack<'_> {
    /// Runs the stack until it is told to stop, or a part of it fails. Leaves its children to the caller.
    pub(super) async fn run(&self, stop: &Stop) -> Result<Ended> {
        let began = Instant::now();
        let output = Output::new(self.terminal.clone());
        let parts = select! {
            parts = Box::pin(self.start(&output)) => parts?,
            reason = stop.clone().requested() => return Ok(Ended { reason, was_ready: false }),
        };
        let Parts { mut database, mut model, front, functions } = parts;
        let Front { gateway, mut emulator, invoke_port, .. } = front;
        select! {
            warm = self.warm_up(&gateway, &database.client) => warm?,
            reason = stop.clone().requested() => return Ok(Ended { reason, was_ready: false }),
            error = first_death(database.local.as_mut(), model.as_mut(), &mut emulator) => return Err(error),
        }
        output.is_ready();
        let Plan { options, workspace, state, .. } = self.plan;
        let ready = Ready {
            port: gateway.address().port(),
            invoke_port: invoke_port.number,
            agent: match (options.agent, &model) {
                (_, Some(model)) => format!("{} on {}", model::NAME, model.base_url),
                (Some(Agent::OpenAi), None) => {
                    let base_url = options.openai_base_url.as_deref().unwrap_or("OpenAI");
                    format!("{} on {base_url}", options.model.as_deref().unwrap_or("openai"))
                }
                (Some(Agent::Echo), None) => "echo".to_owned(),
                (_, None) => "as the template says".to_owned(),
            },
            data: match (&database.local, options.in_memory) {
                (None, _) => "not started here".to_owned(),
                (Some(_), true) => "data in memory".to_owned(),
                (Some(_), false) => format!("data in {}", workspace.shown(&state.data())),
            },
            dynamodb_endpoint: database.endpoint.clone(),
            logs: workspace.shown(&state.logs()),
            logs_path: state.logs().display().to_string(),
            tables: self.plan.tables.iter().map(|table| table.logical_id.clone()).collect(),
            functions,
            took: began.elapsed(),
        };
        ready.announce(self.terminal);
        let shutdown = stop.clone();
        let shutdown = async move {
            shutdown.requested().await;
        };
        select! {
            served = gateway.serve(shutdown) => served.context("the gateway broke")?,
            error = first_death(database.local.as_mut(), model.as_mut(), &mut emulator) => return Err(error),
        }
        Ok(Ended { reason: stop.clone().requested().await, was_ready: true })
    }

    async fn start(&self, output: &Output) -> Result<Parts> {
        let tools = self.fetch().await?;
        let build = async {
            let Plan { functions, options, workspace, state, .. } = self.plan;
            let names: Vec<String> = functions.iter().map(|function| function.name.clone()).collect();
            build::build(workspace, state, self.children, &names, options.release, self.terminal).await
        };
        let rest = async {
            let (database, model) =
                try_join!(self.database(tools.dynamodb_local.as_ref()), self.model(tools.local_llm.as_ref()))?;
            let front = self.front(&tools.cargo_lambda, &database.endpoint, model.as_ref(), output).await?;
            Ok::<_, anyhow::Error>((database, model, front))
        };
        let (executables, (database, model, front)) = try_join!(build, rest)?;
        let functions =
            if self.plan.options.no_reload { Some(self.supervise(&executables, &front, output)?) } else { None };
        Ok(Parts { database, model, front, functions })
    }

    /// Gets the tools, and checks for what they need.
    async fn fetch(&self) -> Result<Fetched> {
        let log = Log::create(self.plan.state.log("fetch"))?;
        let tools = Tools::new(&self.plan.workspace.target, self.children.clone(), log);
        let starts_dynamodb = self.plan.options.dynamodb_endpoint.is_none();
        let runs_model = self.plan.options.agent == Some(Agent::LocalLlm);
        let found = CargoLambda::find(&tools).await;
        let needs = Needs {
            java: starts_dynamodb,
            npm: starts_dynamodb && !DynamoDbLocal::is_there(&tools),
            python: found.is_none() || runs_model,
        };
        prerequisites::check(needs, self.terminal).await?;
        let cargo_lambda = async {
            match found {
                Some(found) => Ok(found),
                None => CargoLambda::fetch(&tools, self.terminal).await,
            }
        };
        let dynamodb_local = async {
            if starts_dynamodb { DynamoDbLocal::get(&tools, self.terminal).await.map(Some) } else { Ok(None) }
        };
        let local_llm =
            async { if runs_model { LocalLlm::get(&tools, self.terminal).await.map(Some) } else { Ok(None) } };
        let (cargo_lambda, dynamodb_local, local_llm) = try_join!(cargo_lambda, dynamodb_local, local_llm)?;
        Ok(Fetched { cargo_lambda, dynamodb_local, local_llm })
    }

    /// Starts DynamoDB Local, or takes the one that runs, and makes the tables.
    async fn database(&self, tool: Option<&DynamoDbLocal>) -> Result<Database> {
        let Plan { options, state, tables, .. } = self.plan;
        let step = self.terminal.step("Starting DynamoDB Local");
        let local = match tool {
            Some(tool) => {
                let port = Port::choose(options.dynamodb_port, dynamodb::PORT_FLAG)?;
                let start = dynamodb::Start { tool, state, children: self.children, in_memory: options.in_memory };
                Some(start.run(options.dynamodb_port, port).await?)
            }
            None => None,
        };
        let endpoint = match (&local, &options.dynamodb_endpoint) {
            (None, Some(endpoint)) => endpoint.clone(),
            (None, None) => return Err(anyhow!("there is no DynamoDB to use")),
            (Some(local), _) => format!("http://127.0.0.1:{}", local.port.number),
        };
        let client = dynamodb::client(&endpoint);
        dynamodb::check(&client, &endpoint).await?;
        let remedy = match local {
            Some(_) => "grant --reset once, which deletes the local data",
            None => "delete it there, or use another DynamoDB",
        };
        let created = tables::create(&client, tables, remedy).await?;
        let kept = tables.len() - created;
        step.done(format_args!("DynamoDB on {endpoint}; tables: {created} created, {kept} kept"));
        Ok(Database { local, endpoint, client })
    }

    /// Starts the agent's model, if it is one of this machine.
    async fn model(&self, tool: Option<&LocalLlm>) -> Result<Option<Model>> {
        match tool {
            Some(tool) => Model::start(tool, &self.plan.state, self.children, self.terminal).await.map(Some),
            None => Ok(None),
        }
    }

    /// Starts the emulator and binds the gateway, which so far answers nobody.
    async fn front(&self, tool: &CargoLambda, dynamodb: &str, model: Option<&Model>, output: &Output) -> Result<Front> {
        let Plan { options, workspace, state, functions, template, .. } = self.plan;
        let step = self.terminal.step("Starting cargo lambda watch");
        let setup = Setup { tool, workspace, state, children: self.children, release: options.release };
        let mut attempt = 1;
        loop {
            let invoke_port = Port::choose(options.invoke_port, INVOKE_PORT_FLAG)?;
            let gateway_options = gateway::Options {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
                invoke_endpoint: format!("http://127.0.0.1:{}", invoke_port.number),
                websocket_path: WEBSOCKET_PATH.to_owned(),
                ..gateway::Options::default()
            };
            let gateway = match Gateway::bind(template, gateway_options).await {
                Err(GatewayError::AddressInUse { .. }) => return Err(ports::taken(options.port, PORT_FLAG)),
                bound => bound?,
            };
            let model = model.map(|model| model.base_url.as_str());
            let mut local = environment::local(dynamodb, &gateway.address().to_string(), model);
            if let Some(endpoint) = &options.management_endpoint {
                local.insert(environment::MANAGEMENT_ENDPOINT.to_owned(), endpoint.clone());
            }
            let started = if options.no_reload {
                setup.apis(&invoke_port).await
            } else {
                setup.watch(&invoke_port, &environment::of_all(functions, &local)?, output.look(None)).await
            };
            match started {
                Ok(emulator) => {
                    let mode = if options.no_reload { "as the Lambda APIs" } else { "with hot reload" };
                    step.done(format_args!("cargo lambda watch {mode}"));
                    return Ok(Front { gateway, emulator, invoke_port, local });
                }
                Err(error) if options.invoke_port != 0 || attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    fn supervise(
        &self,
        executables: &BTreeMap<String, PathBuf>,
        front: &Front,
        output: &Output,
    ) -> Result<BTreeMap<String, i32>> {
        let supervisor = Supervisor {
            state: &self.plan.state,
            children: self.children,
            terminal: self.terminal,
            output,
            executables,
            local: &front.local,
            invoke_port: front.invoke_port.number,
            processes: self.plan.options.processes,
        };
        supervisor.start(&self.plan.functions)
    }

    /// Has every function answer once, so that nobody waits for a start, and makes the demo tenant.
    async fn warm_up(&self, gateway: &Gateway, client: &Client) -> Result<()> {
        let functions = &self.plan.functions;
        let step = self.terminal.step("Warming up the functions");
        let warm_up = async {
            let logs = self.plan.state.logs();
            gateway
                .warm_up()
                .await
                .with_context(|| format!("a function does not answer; its log is in {}", logs.display()))
        };
        let (demo, ()) = try_join!(demo::create(client, functions), warm_up)?;
        let demo = if demo { ", demo tenant created" } else { "" };
        step.done(format_args!("{} functions are warm{demo}", functions.len()));
        Ok(())
    }
}

/// Waits until a child ends without which the stack is none.
async fn first_death(
    dynamodb: Option<&mut DynamoDb>,
    model: Option<&mut Model>,
    emulator: &mut Emulator,
) -> anyhow::Error {
    let dynamodb = async {
        match dynamodb {
            Some(dynamodb) => (dynamodb.process.wait().await, "DynamoDB Local", &dynamodb.log),
            None => std::future::pending().await,
        }
    };
    let model = async {
        match model {
            Some(model) => (model.process.wait().await, "the model", &model.log),
            None => std::future::pending().await,
        }
    };
    let emulator = async { (emulator.process.wait().await, "cargo lambda watch", &emulator.log) };
    let (status, name, log) = select! { death = dynamodb => death, death = model => death, death = emulator => death };
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    anyhow!("{name} ended ({status}), so the stack stops; its output is in {}", log.path().display())
}
