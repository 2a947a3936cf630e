//! Functions that were built once: started here, and started again when they die.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use gateway::template::Function;
use serde_json::json;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::Output;
use crate::dev::environment::{self, Environment};
use crate::dev::state::State;
use crate::process::{Child, Children, Log};
use crate::terminal::{Colour, Terminal};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A function that ran for this long did not die of its start.
const STEADY: Duration = Duration::from_secs(10);

/// What functions are started with.
#[derive(Debug)]
pub(in crate::dev) struct Supervisor<'a> {
    pub(in crate::dev) state: &'a State,
    pub(in crate::dev) children: &'a Children,
    pub(in crate::dev) terminal: &'a Terminal,
    pub(in crate::dev) output: &'a Output,
    pub(in crate::dev) executables: &'a BTreeMap<String, PathBuf>,
    /// What all functions get from this stack.
    pub(in crate::dev) local: &'a Environment,
    pub(in crate::dev) invoke_port: u16,
    /// How many processes a function has.
    pub(in crate::dev) processes: u8,
}

/// One process of a function: all that it takes to start it.
#[derive(Debug)]
struct Supervised {
    name: String,
    executable: PathBuf,
    environment: Environment,
    invoke_port: u16,
    log: Log,
    children: Children,
    output: Output,
}

impl Supervisor<'_> {
    /// Starts the functions and looks after each from then on. Returns the ids of their first processes by name.
    pub(in crate::dev) fn start(&self, functions: &[Function]) -> Result<BTreeMap<String, i32>> {
        let mut ids = BTreeMap::new();
        for function in functions {
            for number in 1..=self.processes {
                let supervised = self.supervised(function, number)?;
                let child = supervised.spawn()?;
                ids.entry(function.name.clone()).or_insert(child.id());
                tokio::spawn(supervised.keep(child, self.terminal.clone()));
            }
        }
        Ok(ids)
    }

    fn supervised(&self, function: &Function, number: u8) -> Result<Supervised> {
        let name = &function.name;
        let log = if number == 1 { name.clone() } else { format!("{name}-{number}") };
        Ok(Supervised {
            name: name.clone(),
            executable: self.executables.get(name).with_context(|| format!("cargo built no {name}"))?.clone(),
            environment: environment::of_function(function, self.local),
            invoke_port: self.invoke_port,
            log: Log::create(self.state.log(&log))?,
            children: self.children.clone(),
            output: self.output.clone(),
        })
    }
}

impl Supervised {
    fn spawn(&self) -> Result<Child> {
        let mut command = Command::new(&self.executable);
        environment::forget_aws(&mut command);
        command.envs(&self.environment).envs([
            ("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{}/.rt/{}", self.invoke_port, self.name)),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4096".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ]);
        environment::give_key(&mut command, &self.environment);
        let mut child = self.children.spawn(command)?;
        self.log.keep(&mut child, self.output.look(Some(self.name.clone())));
        Ok(child)
    }

    /// Starts the function again whenever it dies, until the stack stops.
    async fn keep(self, mut child: Child, terminal: Terminal) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let started = Instant::now();
            let ended = child.wait().await;
            if self.children.are_stopping() {
                return;
            }
            if started.elapsed() > STEADY {
                pause = SHORTEST_PAUSE;
            }
            let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.children.are_stopping() {
                return;
            }
            child = match self.spawn() {
                Ok(child) => child,
                Err(error) => return terminal.warning(format_args!("{} is gone: {error:#}", self.name)),
            };
            let name = terminal.paint(Colour::Bold, &self.name);
            terminal.warning(format_args!("{name} died ({status}) and was started again as process {}", child.id()));
            terminal.event(&json!({"event": "function_restarted", "function": self.name, "pid": child.id()}));
        }
    }
}
