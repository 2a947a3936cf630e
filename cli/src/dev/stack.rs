//! The stack: starts its parts, then waits until it is asked to stop or a part exits.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use aws_sdk_dynamodb::Client;
use gateway::{Gateway, GatewayError};
use tokio::{select, time::Instant, try_join};

use super::{
    agent::Agent,
    build, demo_tenant,
    dynamodb::{self, DynamoDb, DynamoDbSettings},
    environment::{self, Environment},
    functions::{Emulator, EmulatorSettings, FunctionOutput, Supervisor},
    local_model::{self, LocalModel},
    plan::{INVOKE_PORT_FLAG, PORT_FLAG, Plan},
    playground,
    ports::{self, Port},
    prerequisites::{self, Installed, Required},
    ready::{Ready, WEBSOCKET_PATH},
    shutdown::{Shutdown, ShutdownReason},
    tables,
};
use crate::{
    process::{Children, Log},
    terminal::Terminal,
    tools::{CargoLambda, DynamoDbLocal, LocalLlm, ToolFolder},
};

/// The environment variable with the default agent.
const AGENT_VARIABLE: &str = "DEFAULT_AGENT";

/// How often the emulator is started: another program may take its port before it listens.
const EMULATOR_ATTEMPTS: usize = 3;

/// The end of a stack that did not fail.
#[derive(Debug)]
pub(super) struct StackEnd {
    pub(super) reason: ShutdownReason,
    pub(super) was_ready: bool,
}

/// A stack to start.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    pub(super) plan: &'a Plan,
    pub(super) children: &'a Children,
    pub(super) terminal: &'a Terminal,
}

/// A DynamoDB with the tables.
struct Database {
    /// `None` for a DynamoDB that this stack did not start.
    local: Option<DynamoDb>,
    endpoint: String,
    client: Client,
}

/// The gateway, the Lambda emulator that it invokes, and the variables with which the functions find both.
struct Edge {
    gateway: Gateway,
    emulator: Emulator,
    invoke_port: Port,
    environment: Environment,
}

/// All running parts.
struct Parts {
    database: Database,
    model: Option<LocalModel>,
    edge: Edge,
    /// Process ids of the functions, unless the emulator runs them.
    functions: Option<BTreeMap<String, i32>>,
}

/// The tools that this start needs.
struct Tools {
    cargo_lambda: CargoLambda,
    dynamodb_local: Option<DynamoDbLocal>,
    local_llm: Option<LocalLlm>,
}

impl Stack<'_> {
    /// Runs the stack until it is asked to stop, or a part fails. The caller stops the child processes.
    pub(super) async fn run(&self, shutdown: &Shutdown) -> Result<StackEnd> {
        let started = Instant::now();
        let output = FunctionOutput::new(self.terminal.clone());
        let parts = select! {
            parts = Box::pin(self.start(&output)) => parts?,
            reason = shutdown.clone().requested() => return Ok(StackEnd { reason, was_ready: false }),
        };
        let Parts { mut database, mut model, edge, functions } = parts;
        let Edge { gateway, mut emulator, invoke_port, .. } = edge;
        select! {
            warm = self.warm_up(&gateway, &database.client) => warm?,
            reason = shutdown.clone().requested() => return Ok(StackEnd { reason, was_ready: false }),
            error = first_exit(database.local.as_mut(), model.as_mut(), &mut emulator) => return Err(error),
        }
        output.show_reloads();
        let ready = self.ready(&gateway, &invoke_port, &database, model.as_ref(), functions, started.elapsed());
        ready.announce(self.terminal);
        let requested = shutdown.clone().requested();
        let requested = async move {
            requested.await;
        };
        select! {
            served = gateway.serve(requested) => served.context("the gateway failed")?,
            error = first_exit(database.local.as_mut(), model.as_mut(), &mut emulator) => return Err(error),
        }
        Ok(StackEnd { reason: shutdown.clone().requested().await, was_ready: true })
    }

    fn ready(
        &self,
        gateway: &Gateway,
        invoke_port: &Port,
        database: &Database,
        model: Option<&LocalModel>,
        functions: Option<BTreeMap<String, i32>>,
        took: Duration,
    ) -> Ready {
        let Plan { options, workspace, run_folder, tables, .. } = self.plan;
        Ready {
            port: gateway.address().port(),
            invoke_port: invoke_port.number,
            dynamodb_endpoint: database.endpoint.clone(),
            agent: self.agent(model),
            data: match (&database.local, options.in_memory) {
                (None, _) => "not started by this stack".to_owned(),
                (Some(_), true) => "data in memory".to_owned(),
                (Some(_), false) => format!("data in {}", workspace.relative(&run_folder.data())),
            },
            logs: workspace.relative(&run_folder.logs()),
            logs_path: run_folder.logs().display().to_string(),
            tables: tables.iter().map(|table| table.logical_id.clone()).collect(),
            functions,
            took,
        }
    }

    /// The default agent, for people.
    fn agent(&self, model: Option<&LocalModel>) -> String {
        let Plan { options, functions, .. } = self.plan;
        match (options.agent, model) {
            (_, Some(model)) => format!("{} on {}", local_model::NAME, model.base_url),
            (Some(Agent::OpenAi), None) => {
                let base_url = options.openai_base_url.as_deref().unwrap_or("OpenAI");
                format!("{} on {base_url}", options.model.as_deref().unwrap_or("openai"))
            }
            (_, None) => {
                let agent = functions.iter().find_map(|function| function.environment.get(AGENT_VARIABLE));
                agent.map_or_else(|| "none".to_owned(), Clone::clone)
            }
        }
    }

    async fn start(&self, output: &FunctionOutput) -> Result<Parts> {
        let tools = self.tools().await?;
        let build = async {
            let Plan { functions, options, workspace, run_folder, .. } = self.plan;
            let names: Vec<String> = functions.iter().map(|function| function.name.clone()).collect();
            build::build(workspace, run_folder, self.children, &names, options.release, self.terminal).await
        };
        let rest = async {
            let (database, model) = try_join!(
                self.start_database(tools.dynamodb_local.as_ref()),
                self.start_model(tools.local_llm.as_ref())
            )?;
            let edge = self.start_edge(&tools.cargo_lambda, &database.endpoint, model.as_ref(), output).await?;
            Ok::<_, anyhow::Error>((database, model, edge))
        };
        let (executables, (database, model, edge)) = try_join!(build, rest)?;
        let functions =
            if self.plan.options.no_reload { Some(self.supervise(&executables, &edge, output)?) } else { None };
        Ok(Parts { database, model, edge, functions })
    }

    /// Finds or fetches the tools, and checks that the programs which they need are installed.
    async fn tools(&self) -> Result<Tools> {
        let log = Log::create(self.plan.run_folder.log("fetch"))?;
        let folder = ToolFolder::new(&self.plan.workspace.target, self.children.clone(), log);
        let starts_dynamodb = self.plan.options.dynamodb_endpoint.is_none();
        let runs_model = self.plan.options.agent == Some(Agent::LocalLlm);
        let found = CargoLambda::find(&folder).await;
        let required = Required {
            java: starts_dynamodb,
            node: starts_dynamodb && !DynamoDbLocal::is_installed(&folder),
            python: found.is_none() || runs_model,
        };
        let Installed { java, node } = prerequisites::check(required, &folder, self.terminal).await?;
        let cargo_lambda = async {
            match found {
                Some(found) => Ok(found),
                None => CargoLambda::fetch(&folder, self.terminal).await,
            }
        };
        let dynamodb_local = async {
            match starts_dynamodb {
                true => DynamoDbLocal::get(java, node, &folder, self.terminal).await.map(Some),
                false => Ok(None),
            }
        };
        let local_llm =
            async { if runs_model { LocalLlm::get(&folder, self.terminal).await.map(Some) } else { Ok(None) } };
        let (cargo_lambda, dynamodb_local, local_llm) = try_join!(cargo_lambda, dynamodb_local, local_llm)?;
        Ok(Tools { cargo_lambda, dynamodb_local, local_llm })
    }

    /// Starts DynamoDB Local unless another DynamoDB is given, and creates the tables.
    async fn start_database(&self, tool: Option<&DynamoDbLocal>) -> Result<Database> {
        let Plan { options, run_folder, tables, .. } = self.plan;
        let step = self.terminal.step("Starting DynamoDB Local");
        let local = match tool {
            Some(tool) => {
                let port = Port::choose(options.dynamodb_port, dynamodb::PORT_FLAG)?;
                let children = self.children;
                let settings = DynamoDbSettings { tool, run_folder, children, in_memory: options.in_memory };
                Some(settings.start(options.dynamodb_port, port).await?)
            }
            None => None,
        };
        let endpoint = match (&local, &options.dynamodb_endpoint) {
            (None, Some(endpoint)) => endpoint.clone(),
            (None, None) => return Err(anyhow!("no DynamoDB was started or given")),
            (Some(local), _) => format!("http://127.0.0.1:{}", local.port.number),
        };
        let client = dynamodb::client(&endpoint);
        dynamodb::check(&client, &endpoint).await?;
        let remedy = match local {
            Some(_) => "pass --reset once, which deletes the local data",
            None => "delete the table, or use another DynamoDB",
        };
        let created = tables::create(&client, tables, remedy).await?;
        let existing = tables.len() - created;
        step.done(format_args!("DynamoDB on {endpoint}; tables: {created} created, {existing} existing"));
        Ok(Database { local, endpoint, client })
    }

    /// Starts the local model, if the agent needs it.
    async fn start_model(&self, tool: Option<&LocalLlm>) -> Result<Option<LocalModel>> {
        match tool {
            Some(tool) => LocalModel::start(tool, &self.plan.run_folder, self.children, self.terminal).await.map(Some),
            None => Ok(None),
        }
    }

    /// Starts the emulator and binds the gateway, which does not serve requests yet.
    async fn start_edge(
        &self,
        tool: &CargoLambda,
        dynamodb: &str,
        model: Option<&LocalModel>,
        output: &FunctionOutput,
    ) -> Result<Edge> {
        let Plan { options, workspace, run_folder, functions, template, .. } = self.plan;
        let step = self.terminal.step("Starting cargo lambda watch");
        let settings =
            EmulatorSettings { tool, workspace, run_folder, children: self.children, release: options.release };
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
                Err(GatewayError::AddressInUse { .. }) => return Err(ports::in_use(options.port, PORT_FLAG)),
                bound => bound?,
            };
            let rest_url = format!("http://{}", gateway.address());
            let gateway = gateway.with_routes(playground::routes(rest_url));
            let model = model.map(|model| model.base_url.as_str());
            let mut environment = environment::local(dynamodb, &gateway.address().to_string(), model);
            if let Some(endpoint) = &options.management_endpoint {
                environment.insert(environment::MANAGEMENT_ENDPOINT.to_owned(), endpoint.clone());
            }
            if options.wait_after_response {
                environment.remove(environment::AFTER_RESPONSE);
            }
            let started = if options.no_reload {
                settings.start_apis(&invoke_port).await
            } else {
                let shared = environment::of_all(functions, &environment)?;
                settings.start_with_reload(&invoke_port, &shared, output.line_handler(None)).await
            };
            match started {
                Ok(emulator) => {
                    let mode = if options.no_reload { "for the Lambda APIs" } else { "with hot reload" };
                    step.done(format_args!("cargo lambda watch {mode}"));
                    return Ok(Edge { gateway, emulator, invoke_port, environment });
                }
                Err(error) if options.invoke_port != 0 || attempt == EMULATOR_ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    fn supervise(
        &self,
        executables: &BTreeMap<String, PathBuf>,
        edge: &Edge,
        output: &FunctionOutput,
    ) -> Result<BTreeMap<String, i32>> {
        let supervisor = Supervisor {
            run_folder: &self.plan.run_folder,
            children: self.children,
            terminal: self.terminal,
            output,
            executables,
            local: &edge.environment,
            invoke_port: edge.invoke_port.number,
            processes: self.plan.options.processes,
        };
        supervisor.start(&self.plan.functions)
    }

    /// Invokes every function once, so that no request waits for a cold start, and creates the demo tenant.
    async fn warm_up(&self, gateway: &Gateway, client: &Client) -> Result<()> {
        let functions = &self.plan.functions;
        let step = self.terminal.step("Warming up the functions");
        let warm_up = async {
            let logs = self.plan.run_folder.logs();
            gateway
                .warm_up()
                .await
                .with_context(|| format!("a function does not respond: its log is in {}", logs.display()))
        };
        let (is_created, ()) = try_join!(demo_tenant::create(client, functions), warm_up)?;
        let demo_tenant = if is_created { ", demo tenant created" } else { "" };
        step.done(format_args!("{} functions are warm{demo_tenant}", functions.len()));
        Ok(())
    }
}

/// Waits until a required child process exits.
async fn first_exit(
    dynamodb: Option<&mut DynamoDb>,
    model: Option<&mut LocalModel>,
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
    let (status, name, log) = select! { exit = dynamodb => exit, exit = model => exit, exit = emulator => exit };
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    anyhow!("{name} exited ({status}), so the stack stops: its output is in {}", log.path().display())
}
