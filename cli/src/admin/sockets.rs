//! Ending the sockets of those who may not have one any more.
//!
//! The gate is shut before. Whatever is noted and does not open it any more has to go, whoever shut it and when: sockets
//! of a suspended tenant, of revoked keys, of keys that have expired. So it can be run again until nothing is left. No new
//! socket comes in but one that was let through a moment earlier and is just being opened; that one finds out itself, and
//! a second look makes sure.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_apigatewaymanagement::operation::get_connection::GetConnectionError;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::domain::connection::Connection;
use shared::domain::id::{ConnectionId, MessageId, TenantId};
use shared::domain::tenant::{AccessDenied, TenantAccess};
use shared::domain::time::Timestamp;
use shared::storage::StorageError;
use shared::websocket::Publisher;
use tokio::time::Instant;

use super::explain::root;
use super::{Admin, values};
use crate::terminal::Step;

/// How long until the next look: as long as a socket may take from `$connect` to the moment that it can be closed.
const NEXT_LOOK: Duration = Duration::from_secs(2);
/// How many looks there are at least.
const LOOKS: u32 = 2;
/// How long one look at all sockets may take, if there is no more time than that.
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// How many sockets are looked at at once.
const AT_ONCE: usize = 16;

/// How long to go on.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Patience {
    /// How long to keep trying to close sockets that stay open
    #[arg(long, value_name = "SPAN", value_parser = values::age, default_value = "1m")]
    keep_trying: Duration,
}

/// What became of the sockets.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    /// Those that were met open.
    met: BTreeSet<String>,
    /// Those that are open still, or may be.
    left: BTreeSet<String>,
    /// Why.
    problem: Option<String>,
}

impl Closing {
    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({"closed": self.closed(), "left": self.left.len(), "problem": self.problem})
    }

    /// What is left to be done; none when all is.
    pub(super) fn unfinished(&self) -> Option<String> {
        if self.is_done() {
            return None;
        }
        let left = match self.left.len() {
            0 => "sockets may be open still".to_owned(),
            1 => "1 socket is open still, or may be".to_owned(),
            left => format!("{left} sockets are open still, or may be"),
        };
        let problem = self.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        Some(format!(
            "the access is denied, but {left}{problem}; run this again, or they are closed when they next speak"
        ))
    }

    /// Takes note of what could not be seen; returns the sockets that are open.
    fn note(&mut self, looks: Vec<Look>) -> Vec<Connection> {
        let mut open = Vec::new();
        for look in looks {
            match look {
                Look::Gone => {}
                Look::Open(socket) => open.push(socket),
                Look::Unclear(socket, problem) => {
                    self.left.insert(id(&socket));
                    self.problem = Some(problem);
                }
            }
        }
        open
    }

    /// Whether all are closed.
    pub(crate) fn is_done(&self) -> bool {
        self.left.is_empty() && self.problem.is_none()
    }

    fn closed(&self) -> usize {
        self.met.difference(&self.left).count()
    }
}

/// A socket, looked at.
enum Look {
    Open(Connection),
    Gone,
    Unclear(Connection, String),
}

impl Admin {
    /// Closes the sockets of a tenant that do not open its gate any more. Never fails: the gate is shut already, and what
    /// stays open now is closed when it next speaks.
    pub(crate) async fn close_sockets(&self, tenant: &TenantId, patience: Patience) -> Closing {
        let step = self.terminal.step("Closing sockets");
        let ends = Instant::now() + patience.keep_trying;
        let mut closing = Closing::default();
        for look in 1.. {
            self.close_once(tenant, &mut closing, ends.max(Instant::now() + LONGEST_LOOK)).await;
            if look >= LOOKS && (closing.is_done() || Instant::now() + NEXT_LOOK > ends) {
                break;
            }
            report(&step, &closing, look);
            tokio::time::sleep(NEXT_LOOK).await;
        }
        if closing.is_done() {
            step.done(match closing.closed() {
                0 => "No sockets were open".to_owned(),
                1 => "Closed 1 socket".to_owned(),
                closed => format!("Closed {closed} sockets"),
            });
        }
        closing
    }

    /// Looks at all sockets once and closes those that are open.
    async fn close_once(&self, tenant: &TenantId, closing: &mut Closing, ends: Instant) {
        closing.problem = None;
        let (noted, reason) = match self.denied_connections(tenant).await {
            Ok(found) => found,
            Err(error) => {
                closing.problem = Some(format!("failed to read the connections of the tenant: {}", root(&error)));
                return;
            }
        };
        closing.left.clear();
        let open = closing.note(self.look(noted, ends).await);
        closing.met.extend(open.iter().map(id));
        let request_id = MessageId::generate().as_str().replacen("msg_", "chat-cli-", 1);
        Publisher::new(self.management.clone()).close_all(&open, &reason.closing(), &request_id).await;
        let still_open = closing.note(self.look(open, ends).await);
        closing.left.extend(still_open.iter().map(id));
    }

    /// The sockets that do not open their tenant's gate any more, and why.
    async fn denied_connections(&self, tenant: &TenantId) -> Result<(Vec<Connection>, AccessDenied), StorageError> {
        let (access, noted) = tokio::try_join!(self.tenants.access(tenant), self.connections.list_by_tenant(tenant))?;
        Ok(TenantAccess::denied_connections(access.as_ref(), &noted, Timestamp::now()))
    }

    async fn look(&self, sockets: Vec<Connection>, ends: Instant) -> Vec<Look> {
        let looks = stream::iter(sockets).map(async |socket| {
            // One that does not answer takes a while, and there may be a thousand.
            if Instant::now() > ends {
                return Look::Unclear(socket, "there was no time left to look at all sockets".to_owned());
            }
            match self.is_open(&socket.connection_id).await {
                Ok(true) => Look::Open(socket),
                Ok(false) => Look::Gone,
                Err(problem) => Look::Unclear(socket, problem),
            }
        });
        looks.buffer_unordered(AT_ONCE).collect().await
    }

    async fn is_open(&self, socket: &ConnectionId) -> Result<bool, String> {
        match self.management.get_connection().connection_id(socket.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(GetConnectionError::is_gone_exception) => Ok(false),
            Err(error) => Err(format!("sockets cannot be closed through {} ({})", self.place.management, root(&error))),
        }
    }
}

/// Says how far it is, to those who wait longer than usual.
fn report(step: &Step, closing: &Closing, look: u32) {
    if look == LOOKS {
        step.announce();
    }
    if look >= LOOKS {
        step.progress(format!("{} closed, {} left", closing.closed(), closing.left.len()));
    }
}

fn id(socket: &Connection) -> String {
    socket.connection_id.to_string()
}
