//! `cargo lambda watch`: the Lambda Runtime and Invoke APIs, and in its default mode the functions too.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::dev::environment::{self, Environment};
use crate::dev::ports::Port;
use crate::dev::state::State;
use crate::dev::tools::CargoLambda;
use crate::dev::workspace::Workspace;
use crate::process::{Child, Children, Log};

const LIMIT: Duration = Duration::from_secs(30);

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub(in crate::dev) struct Emulator {
    pub(in crate::dev) process: Child,
    pub(in crate::dev) log: Log,
}

/// What an emulator is started with.
#[derive(Debug)]
pub(in crate::dev) struct Setup<'a> {
    pub(in crate::dev) tool: &'a CargoLambda,
    pub(in crate::dev) workspace: &'a Workspace,
    pub(in crate::dev) state: &'a State,
    pub(in crate::dev) children: &'a Children,
    pub(in crate::dev) release: bool,
}

impl Setup<'_> {
    /// Starts an emulator that builds, runs and reloads the functions by itself, all in one environment.
    pub(in crate::dev) async fn watch(
        &self,
        port: &Port,
        environment: &Environment,
        look: impl FnMut(&str) + Send + 'static,
    ) -> Result<Emulator> {
        let file = self.state.environment_file();
        std::fs::write(&file, environment::file(environment)?)
            .with_context(|| format!("failed to write {}", file.display()))?;
        let mut arguments = vec!["--wait".into(), "--env-file".into(), file.into_os_string()];
        if self.release {
            arguments.push("--release".into());
        }
        self.start(port, &arguments, Some(environment), "functions", look).await
    }

    /// Starts an emulator that leaves the functions to others.
    pub(in crate::dev) async fn apis(&self, port: &Port) -> Result<Emulator> {
        self.start(port, &["--only-lambda-apis".into()], None, "lambda-apis", |_| {}).await
    }

    async fn start(
        &self,
        port: &Port,
        arguments: &[std::ffi::OsString],
        functions: Option<&Environment>,
        log: &str,
        look: impl FnMut(&str) + Send + 'static,
    ) -> Result<Emulator> {
        let mut command = self.tool.watch();
        // More than one instance a function multiplies the time that all of them take to start.
        command.args(["-A", "127.0.0.1", "-P", &port.number.to_string(), "--concurrency", "1"]);
        command.args(arguments).current_dir(&self.workspace.root);
        environment::forget_aws(&mut command);
        // What it starts has its environment, and the file's.
        if let Some(functions) = functions {
            environment::give_key(&mut command, functions);
        }
        let log = Log::create(self.state.log(log))?;
        let mut process = self.children.spawn(command)?;
        log.keep(&mut process, look);
        let end = Instant::now() + LIMIT;
        // Asked over TCP: over HTTP it may not answer.
        while !port.answers() {
            if !process.is_running() || Instant::now() > end {
                bail!("cargo lambda watch did not start; its output is in {}", log.path().display());
            }
            sleep(Duration::from_millis(25)).await;
        }
        Ok(Emulator { process, log })
    }
}
