//! DynamoDB Local, as this stack starts it, and a client of a local DynamoDB.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{
    environment,
    ports::{self, Port},
    run_folder::RunFolder,
};
use crate::{
    local_aws::{ACCESS_KEY, REGION, SECRET_KEY},
    process::{Child, Children, Log},
    tools::DynamoDbLocal,
};

/// How long Java may take to listen while the machine compiles.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The flag for the port.
pub(super) const PORT_FLAG: &str = "--dynamodb-port";

/// A running DynamoDB Local.
#[derive(Debug)]
pub(super) struct DynamoDb {
    pub(super) process: Child,
    pub(super) log: Log,
    pub(super) port: Port,
}

/// How DynamoDB Local is started.
#[derive(Debug)]
pub(super) struct DynamoDbSettings<'a> {
    pub(super) tool: &'a DynamoDbLocal,
    pub(super) run_folder: &'a RunFolder,
    pub(super) children: &'a Children,
    pub(super) in_memory: bool,
}

impl DynamoDbSettings<'_> {
    /// Starts it and waits until it listens. If another program takes `port` meanwhile, it tries another port, unless the
    /// user `wanted` this one.
    pub(super) async fn start(&self, wanted: u16, mut port: Port) -> Result<DynamoDb> {
        let log = Log::create(self.run_folder.log("dynamodb"))?;
        let end = Instant::now() + START_TIMEOUT;
        loop {
            let mut process = self.children.spawn(self.command(&port)?)?;
            // Java does not exit if its port is in use, but prints it.
            let port_in_use = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&port_in_use);
            log.capture(&mut process, move |line| {
                if line.contains("Failed to bind") || line.contains("Address already in use") {
                    seen.store(true, Ordering::Relaxed);
                }
            });
            while !port_in_use.load(Ordering::Relaxed) {
                if !process.is_running() || Instant::now() > end {
                    bail!("DynamoDB Local did not start: its output is in {}", log.path().display());
                }
                if port.is_listening() {
                    return Ok(DynamoDb { process, log, port });
                }
                sleep(Duration::from_millis(50)).await;
            }
            process.stop().await?;
            if wanted != 0 {
                return Err(ports::in_use(wanted, PORT_FLAG));
            }
            port = Port::choose(0, PORT_FLAG)?;
        }
    }

    fn command(&self, port: &Port) -> Result<Command> {
        let mut command = self.tool.command();
        command.args(["-port", &port.number.to_string()]).current_dir(self.run_folder.folder());
        environment::remove_aws_variables(&mut command);
        if self.in_memory {
            command.arg("-inMemory");
        } else {
            let data = self.run_folder.data();
            std::fs::create_dir_all(&data).with_context(|| format!("failed to create {}", data.display()))?;
            command.arg("-dbPath").arg(data);
        }
        Ok(command)
    }
}

/// A client of the local DynamoDB at `endpoint`.
pub(super) fn client(endpoint: &str) -> Client {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "local development");
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(10))
        .build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

/// Checks that DynamoDB can be reached.
pub(super) async fn check(client: &Client, endpoint: &str) -> Result<()> {
    client.list_tables().limit(1).send().await.map(|_| ()).map_err(|error| {
        let mut cause: &dyn Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        anyhow!("failed to reach DynamoDB at {endpoint} ({cause}): check the address, and that it is running")
    })
}
