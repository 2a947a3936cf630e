//! `cargo lambda watch`: the Lambda Runtime and Invoke APIs and, with hot reload, the functions.

use std::{ffi::OsString, fs, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::{
    cargo::Workspace,
    dev::{
        environment::{self, Environment},
        ports::Port,
        run_folder::RunFolder,
    },
    process::{Child, Children, Log},
    tools::CargoLambda,
};

/// How long the emulator may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running `cargo lambda watch`.
#[derive(Debug)]
pub(in crate::dev) struct Emulator {
    pub(in crate::dev) process: Child,
    pub(in crate::dev) log: Log,
}

/// How an emulator is started.
#[derive(Debug)]
pub(in crate::dev) struct EmulatorSettings<'a> {
    pub(in crate::dev) tool: &'a CargoLambda,
    pub(in crate::dev) workspace: &'a Workspace,
    pub(in crate::dev) run_folder: &'a RunFolder,
    pub(in crate::dev) children: &'a Children,
    pub(in crate::dev) release: bool,
}

impl EmulatorSettings<'_> {
    /// Starts an emulator that builds, runs and reloads the functions, all in one environment.
    pub(in crate::dev) async fn start_with_reload(
        &self,
        port: &Port,
        environment: &Environment,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Emulator> {
        let file = self.run_folder.environment_file();
        fs::write(&file, environment::file(environment)?)
            .with_context(|| format!("failed to write {}", file.display()))?;
        let mut arguments = vec!["--wait".into(), "--env-file".into(), file.into_os_string()];
        if self.release {
            arguments.push("--release".into());
        }
        self.start(port, &arguments, Some(environment), "functions", on_line).await
    }

    /// Starts an emulator of the Lambda APIs alone.
    pub(in crate::dev) async fn start_apis(&self, port: &Port) -> Result<Emulator> {
        self.start(port, &["--only-lambda-apis".into()], None, "lambda-apis", |_| {}).await
    }

    async fn start(
        &self,
        port: &Port,
        arguments: &[OsString],
        functions: Option<&Environment>,
        log: &str,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Emulator> {
        let mut command = self.tool.watch();
        // More instances would multiply the time that the functions take to start.
        command.args(["-A", "127.0.0.1", "-P", &port.number.to_string(), "--concurrency", "1"]);
        command.args(arguments).current_dir(&self.workspace.root);
        environment::remove_aws_variables(&mut command);
        // The functions inherit this environment, beside that of the file.
        if let Some(functions) = functions {
            environment::add_openai_key(&mut command, functions);
        }
        let log = Log::create(self.run_folder.log(log))?;
        let mut process = self.children.spawn(command)?;
        log.capture(&mut process, on_line);
        let end = Instant::now() + START_TIMEOUT;
        // Checks over TCP: HTTP requests may get no response yet.
        while !port.is_listening() {
            if !process.is_running() || Instant::now() > end {
                bail!("cargo lambda watch did not start: its output is in {}", log.path().display());
            }
            sleep(Duration::from_millis(25)).await;
        }
        Ok(Emulator { process, log })
    }
}
