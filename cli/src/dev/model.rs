//! The model of `--agent local-llm`: a real one, small enough for any laptop, behind llama.cpp's own server.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::environment;
use super::state::State;
use super::tools::LocalLlm;
use crate::process::{Child, Children, Log};
use crate::terminal::Terminal;

/// The model's name, as events show it.
pub(super) const NAME: &str = "SmolLM2-135M-Instruct";

/// What serves it, for Python.
const SERVER: &str = include_str!("model/serve.py");
/// What it prints before its address.
const SERVING: &str = "serving at ";
/// How long it may take to load, on a machine that is busy compiling.
const LIMIT: Duration = Duration::from_secs(60);

/// A model that is being served.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) process: Child,
    pub(super) log: Log,
    /// Where it is asked.
    pub(super) base_url: String,
}

impl Model {
    /// Starts the server and waits until it listens.
    pub(super) async fn start(
        tool: &LocalLlm,
        state: &State,
        children: &Children,
        terminal: &Terminal,
    ) -> Result<Self> {
        let step = terminal.step(format!("Starting {NAME}"));
        let mut command = tool.python(SERVER);
        environment::forget_aws(&mut command);
        let log = Log::create(state.log("model"))?;
        let mut process = children.spawn(command)?;
        let (found, mut address) = mpsc::unbounded_channel();
        log.keep(&mut process, move |line| {
            if let Some(address) = line.strip_prefix(SERVING) {
                let _ = found.send(address.to_owned());
            }
        });
        // The channel closes with the process's output.
        let Ok(Some(address)) = timeout(LIMIT, address.recv()).await else {
            bail!("the model did not start; its output is in {}", log.path().display());
        };
        step.done(format_args!("{NAME} on {address}"));
        Ok(Self { process, log, base_url: format!("{address}/v1") })
    }
}
