//! DynamoDB: the local one that this stack starts, or one that runs already.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::environment;
use super::ports::{self, Port};
use super::state::State;
use super::tools::DynamoDbLocal;
use crate::process::{Child, Children, Log};

/// How long Java may take to listen, on a machine that is busy compiling.
const LIMIT: Duration = Duration::from_secs(60);
/// The flag that asks for another port.
pub(super) const PORT_FLAG: &str = "--dynamodb-port";

/// A DynamoDB Local of this stack.
#[derive(Debug)]
pub(super) struct DynamoDb {
    pub(super) process: Child,
    pub(super) log: Log,
    pub(super) port: Port,
}

/// What DynamoDB Local is started with.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) tool: &'a DynamoDbLocal,
    pub(super) state: &'a State,
    pub(super) children: &'a Children,
    pub(super) in_memory: bool,
}

impl Start<'_> {
    /// Starts it and waits until it listens, on `port` or, if that is taken meanwhile and any was `wanted`, another one.
    pub(super) async fn run(&self, wanted: u16, mut port: Port) -> Result<DynamoDb> {
        let log = Log::create(self.state.log("dynamodb"))?;
        let end = Instant::now() + LIMIT;
        loop {
            let mut process = self.children.spawn(self.command(&port)?)?;
            // Java goes on running when its port is taken, so its output has to tell.
            let clash = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&clash);
            log.keep(&mut process, move |line| {
                if line.contains("Failed to bind") || line.contains("Address already in use") {
                    seen.store(true, Ordering::Relaxed);
                }
            });
            while !clash.load(Ordering::Relaxed) {
                if !process.is_running() || Instant::now() > end {
                    bail!("DynamoDB Local did not start; its output is in {}", log.path().display());
                }
                if port.answers() {
                    return Ok(DynamoDb { process, log, port });
                }
                sleep(Duration::from_millis(50)).await;
            }
            process.stop().await?;
            if wanted != 0 {
                return Err(ports::taken(wanted, PORT_FLAG));
            }
            port = Port::choose(0, PORT_FLAG)?;
        }
    }

    fn command(&self, port: &Port) -> Result<Command> {
        let mut command = self.tool.command();
        command.args(["-port", &port.number.to_string()]).current_dir(self.state.folder());
        environment::forget_aws(&mut command);
        if self.in_memory {
            command.arg("-inMemory");
        } else {
            let data = self.state.data();
            std::fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
            command.arg("-dbPath").arg(data);
        }
        Ok(command)
    }
}

/// A client of the DynamoDB at `endpoint`, which is a local one.
pub(super) fn client(endpoint: &str) -> Client {
    let credentials =
        Credentials::new(environment::ACCESS_KEY, environment::SECRET_KEY, None, None, "local development");
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(10))
        .build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(environment::REGION))
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

/// Checks that a DynamoDB answers.
pub(super) async fn check(client: &Client, endpoint: &str) -> Result<()> {
    client.list_tables().limit(1).send().await.map(|_| ()).map_err(|error| {
        let mut cause: &dyn Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        anyhow!("no DynamoDB answers at {endpoint} ({cause})")
    })
}
