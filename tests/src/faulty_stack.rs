//! A stack behind fault proxies.

use tokio::task::spawn_blocking;

use crate::{FaultProfile, FaultProxy, Stack};

/// A stack with one fault proxy in front of DynamoDB, which is that of the [shared](Stack::shared) stack, and one in front
/// of `@connections`.
#[derive(Debug)]
pub struct FaultyStack {
    /// The stack.
    pub stack: Stack,
    /// The proxy in front of DynamoDB.
    pub tables: FaultProxy,
    /// The proxy in front of `@connections`.
    pub connections: FaultProxy,
}

impl FaultyStack {
    /// Starts it without faults, with `processes` for each function: waiting for a free process would use up the gateway's
    /// 29 s.
    pub async fn start(processes: u8) -> Self {
        let shared = spawn_blocking(Stack::shared).await.expect("the shared stack starts");
        let tables = FaultProxy::start(shared.dynamodb_endpoint()).await;
        let connections = FaultProxy::start_for_connections().await;
        let processes = processes.to_string();
        let arguments =
            ["--processes", &processes, "--dynamodb-endpoint", &tables.url, "--management-endpoint", &connections.url];
        let stack = Stack::start_with(&arguments).await;
        connections.forward_to(stack.rest_url());
        Self { stack, tables, connections }
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.tables.set_profile(FaultProfile::Healthy);
        self.connections.set_profile(FaultProfile::Healthy);
    }
}
