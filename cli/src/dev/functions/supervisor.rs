//! Runs functions that were built once, and restarts them when they exit.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use gateway::template::Function;
use serde_json::json;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::output::FunctionOutput;
use crate::{
    dev::{
        environment::{self, Environment},
        run_folder::RunFolder,
    },
    process::{Child, Children, Log},
    terminal::{Colour, Terminal},
};

/// The pause before a restart doubles from the minimum to the maximum.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// A process that ran for this long resets the pause.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How the functions are started.
#[derive(Debug)]
pub(in crate::dev) struct Supervisor<'a> {
    pub(in crate::dev) run_folder: &'a RunFolder,
    pub(in crate::dev) children: &'a Children,
    pub(in crate::dev) terminal: &'a Terminal,
    pub(in crate::dev) output: &'a FunctionOutput,
    pub(in crate::dev) executables: &'a BTreeMap<String, PathBuf>,
    /// The variables that all functions get from this stack.
    pub(in crate::dev) local: &'a Environment,
    pub(in crate::dev) invoke_port: u16,
    /// How many processes each function has.
    pub(in crate::dev) processes: u8,
}

/// One process of a function, with everything to start it again.
#[derive(Debug)]
struct FunctionProcess {
    name: String,
    executable: PathBuf,
    environment: Environment,
    invoke_port: u16,
    log: Log,
    children: Children,
    output: FunctionOutput,
}

impl Supervisor<'_> {
    /// Starts the functions, and restarts each that exits. Returns the process id of each function's first process.
    pub(in crate::dev) fn start(&self, functions: &[Function]) -> Result<BTreeMap<String, i32>> {
        let mut ids = BTreeMap::new();
        for function in functions {
            for number in 1..=self.processes {
                let process = self.process(function, number)?;
                let child = process.spawn()?;
                ids.entry(function.name.clone()).or_insert(child.id());
                tokio::spawn(process.supervise(child, self.terminal.clone()));
            }
        }
        Ok(ids)
    }

    fn process(&self, function: &Function, number: u8) -> Result<FunctionProcess> {
        let name = &function.name;
        let log = if number == 1 { name.clone() } else { format!("{name}-{number}") };
        Ok(FunctionProcess {
            name: name.clone(),
            executable: self.executables.get(name).with_context(|| format!("cargo did not build {name}"))?.clone(),
            environment: environment::of_function(function, self.local),
            invoke_port: self.invoke_port,
            log: Log::create(self.run_folder.log(&log))?,
            children: self.children.clone(),
            output: self.output.clone(),
        })
    }
}

impl FunctionProcess {
    fn spawn(&self) -> Result<Child> {
        let mut command = Command::new(&self.executable);
        environment::remove_aws_variables(&mut command);
        command.envs(&self.environment).envs([
            ("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{}/.rt/{}", self.invoke_port, self.name)),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4096".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ]);
        environment::add_openai_key(&mut command, &self.environment);
        let mut child = self.children.spawn(command)?;
        self.log.capture(&mut child, self.output.line_handler(Some(self.name.clone())));
        Ok(child)
    }

    /// Restarts the process whenever it exits, until the stack stops.
    async fn supervise(self, mut child: Child, terminal: Terminal) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let started = Instant::now();
            let exit = child.wait().await;
            if self.children.are_stopping() {
                return;
            }
            if started.elapsed() > STABLE_AFTER {
                backoff = MIN_BACKOFF;
            }
            let status = exit.map_or_else(|error| error.to_string(), |status| status.to_string());
            sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
            if self.children.are_stopping() {
                return;
            }
            child = match self.spawn() {
                Ok(child) => child,
                Err(error) => return terminal.warning(format_args!("failed to restart {}: {error:#}", self.name)),
            };
            let name = terminal.paint(Colour::Bold, &self.name);
            terminal.warning(format_args!("{name} exited ({status}) and was restarted as process {}", child.id()));
            terminal.event(&json!({"event": "function_restarted", "function": self.name, "pid": child.id()}));
        }
    }
}
