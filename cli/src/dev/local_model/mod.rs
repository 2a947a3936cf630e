//! The model of `--agent local-llm`: a small real model, served by llama.cpp.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::{sync::mpsc, time::timeout};

use super::{environment, run_folder::RunFolder};
use crate::{
    process::{Child, Children, Log},
    terminal::Terminal,
    tools::LocalLlm,
};

/// The name of the model in events.
pub(super) const NAME: &str = "SmolLM2-135M-Instruct";

/// The server, in Python.
const SERVER: &str = include_str!("serve.py");
/// What the server prints before its address.
const ADDRESS_PREFIX: &str = "serving at ";
/// How long the model may take to load while the machine compiles.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A model with its server.
#[derive(Debug)]
pub(super) struct LocalModel {
    pub(super) process: Child,
    pub(super) log: Log,
    /// The base URL for the agent openai.
    pub(super) base_url: String,
}

impl LocalModel {
    /// Starts the server and waits until it listens.
    pub(super) async fn start(
        tool: &LocalLlm,
        run_folder: &RunFolder,
        children: &Children,
        terminal: &Terminal,
    ) -> Result<Self> {
        let step = terminal.step(format!("Starting {NAME}"));
        let mut command = tool.python(SERVER);
        environment::remove_aws_variables(&mut command);
        let log = Log::create(run_folder.log("model"))?;
        let mut process = children.spawn(command)?;
        let (sender, mut address) = mpsc::unbounded_channel();
        log.capture(&mut process, move |line| {
            if let Some(address) = line.strip_prefix(ADDRESS_PREFIX) {
                let _ = sender.send(address.to_owned());
            }
        });
        // The channel closes when the process exits.
        let Ok(Some(address)) = timeout(START_TIMEOUT, address.recv()).await else {
            bail!("the model did not start: its output is in {}", log.path().display());
        };
        step.done(format_args!("{NAME} on {address}"));
        Ok(Self { process, log, base_url: format!("{address}/v1") })
    }
}
