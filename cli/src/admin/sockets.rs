//! Closes the sockets of tenants and keys that have lost their access.
//!
//! Access is denied before. Each sweep closes every socket without access, whatever denied it and when: the tenant is
//! suspended, its key is revoked or has expired. So a command can be repeated until no socket is left. Only a socket
//! whose `$connect` was authorized a moment earlier can still appear, hence a second sweep; it also rechecks its access.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, anyhow};
use aws_sdk_apigatewaymanagement::operation::get_connection::GetConnectionError;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    domain::{
        connection::Connection,
        id::{ConnectionId, MessageId, TenantId},
        tenant::{AccessDenied, TenantAccess},
        time::Timestamp,
    },
    storage::StorageError,
    websocket::Publisher,
};
use tokio::time::{Instant, sleep};

use super::{cause::root_cause, failure::PartialFailure, parse, session::AdminSession};
use crate::terminal::Step;

/// The pause between sweeps: as long as a socket may take from `$connect` until it can be closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
const MIN_SWEEPS: u32 = 2;
/// How long a sweep may take, even past the deadline.
const MAX_SWEEP: Duration = Duration::from_secs(15);
/// How many sockets are checked concurrently.
const CONCURRENCY: usize = 16;

/// The flag for how long to retry.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct CloseDeadline {
    /// How long to retry closing sockets that stay open
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "1m")]
    keep_trying: Duration,
}

/// What became of the sockets.
#[derive(Debug, Default)]
pub(super) struct SocketReport {
    /// The ids of all sockets that were found open.
    found: BTreeSet<String>,
    /// The ids of those that are or may still be open.
    left: BTreeSet<String>,
    /// Why they are, or why the sockets could not be listed.
    problem: Option<String>,
}

/// The state of a socket.
enum SocketState {
    Open(Connection),
    Gone,
    /// The management API did not tell.
    Unknown(Connection, String),
}

impl SocketReport {
    /// Whether all sockets are closed.
    pub(super) fn is_complete(&self) -> bool {
        self.left.is_empty() && self.problem.is_none()
    }

    fn closed(&self) -> usize {
        self.found.difference(&self.left).count()
    }

    fn to_json(&self) -> Value {
        json!({"closed": self.closed(), "left": self.left.len(), "problem": self.problem})
    }

    /// The failure for people; `None` if all sockets are closed.
    fn failure(&self) -> Option<String> {
        if self.is_complete() {
            return None;
        }
        let left = match self.left.len() {
            0 => "sockets may still be open".to_owned(),
            1 => "1 socket is or may still be open".to_owned(),
            left => format!("{left} sockets are or may still be open"),
        };
        let problem = self.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        Some(format!("access is denied, but {left}{problem}; run this again, or they are closed at their next frame"))
    }

    /// Records the sockets of unknown state. Returns those that are open.
    fn add(&mut self, states: Vec<SocketState>) -> Vec<Connection> {
        let mut open = Vec::new();
        for state in states {
            match state {
                SocketState::Gone => {}
                SocketState::Open(socket) => open.push(socket),
                SocketState::Unknown(socket, problem) => {
                    self.left.insert(id(&socket));
                    self.problem = Some(problem);
                }
            }
        }
        open
    }
}

impl AdminSession {
    /// Closes the sockets of a tenant that have lost their access. Never fails: access is denied already, and a socket that
    /// stays open is closed at its next frame.
    pub(super) async fn close_sockets(&self, tenant: &TenantId, deadline: CloseDeadline) -> SocketReport {
        let step = self.terminal.step("Closing sockets");
        let deadline = Instant::now() + deadline.keep_trying;
        let mut report = SocketReport::default();
        for sweep in 1.. {
            self.sweep(tenant, &mut report, deadline.max(Instant::now() + MAX_SWEEP)).await;
            if sweep >= MIN_SWEEPS && (report.is_complete() || Instant::now() + SWEEP_INTERVAL > deadline) {
                break;
            }
            show_progress(&step, &report, sweep);
            sleep(SWEEP_INTERVAL).await;
        }
        if report.is_complete() {
            step.done(match report.closed() {
                0 => "No sockets were open".to_owned(),
                1 => "Closed 1 socket".to_owned(),
                closed => format!("Closed {closed} sockets"),
            });
        }
        report
    }

    /// Ends a command that closed sockets: prints its result as JSON, or fails if sockets are left.
    pub(super) fn finish(&self, mut event: Value, report: &SocketReport) -> Result<()> {
        event["sockets"] = report.to_json();
        if let Some(failure) = report.failure() {
            return Err(PartialFailure { done: event, error: anyhow!(failure) }.into());
        }
        self.terminal.event(&event);
        Ok(())
    }

    /// Checks all sockets without access once, and closes those that are open.
    async fn sweep(&self, tenant: &TenantId, report: &mut SocketReport, deadline: Instant) {
        report.problem = None;
        let (denied, reason) = match self.denied_connections(tenant).await {
            Ok(found) => found,
            Err(error) => {
                report.problem = Some(format!("failed to read the connections of the tenant: {}", root_cause(&error)));
                return;
            }
        };
        report.left.clear();
        let open = report.add(self.states(denied, deadline).await);
        report.found.extend(open.iter().map(id));
        let request_id = MessageId::generate().as_str().replacen("msg_", "chat-cli-", 1);
        Publisher::new(self.management.clone()).close_all(&open, &reason.closing(), &request_id).await;
        let still_open = report.add(self.states(open, deadline).await);
        report.left.extend(still_open.iter().map(id));
    }

    /// The connections of a tenant that have lost their access, and why.
    async fn denied_connections(&self, tenant: &TenantId) -> Result<(Vec<Connection>, AccessDenied), StorageError> {
        let (access, connections) =
            tokio::try_join!(self.tenants.access(tenant), self.connections.list_by_tenant(tenant))?;
        Ok(TenantAccess::denied_connections(access.as_ref(), &connections, Timestamp::now()))
    }

    async fn states(&self, sockets: Vec<Connection>, deadline: Instant) -> Vec<SocketState> {
        let states = stream::iter(sockets).map(async |socket| {
            // A request may time out, and a tenant may have a thousand sockets.
            if Instant::now() > deadline {
                return SocketState::Unknown(socket, "there was no time to check all sockets".to_owned());
            }
            match self.is_open(&socket.connection_id).await {
                Ok(true) => SocketState::Open(socket),
                Ok(false) => SocketState::Gone,
                Err(problem) => SocketState::Unknown(socket, problem),
            }
        });
        states.buffer_unordered(CONCURRENCY).collect().await
    }

    async fn is_open(&self, socket: &ConnectionId) -> Result<bool, String> {
        match self.management.get_connection().connection_id(socket.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(GetConnectionError::is_gone_exception) => Ok(false),
            Err(error) => {
                let (endpoint, cause) = (&self.deployment.management, root_cause(&error));
                Err(format!("failed to close sockets through {endpoint} ({cause})"))
            }
        }
    }
}

/// Shows the progress to an operator who waits longer than usual.
fn show_progress(step: &Step, report: &SocketReport, sweep: u32) {
    if sweep == MIN_SWEEPS {
        step.announce();
    }
    if sweep >= MIN_SWEEPS {
        step.progress(format!("{} closed, {} left", report.closed(), report.left.len()));
    }
}

fn id(socket: &Connection) -> String {
    socket.connection_id.to_string()
}
