//! Ending the sockets of those who may not have one any more.
//!
//! The gate is shut before, so no new socket comes in but one that was let through a moment earlier and is just being
//! opened: hence a second look.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_apigatewaymanagement::operation::get_connection::GetConnectionError;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::api_key::KeyHash;
use shared::error::{ApiError, Code};
use shared::id::{ConnectionId, MessageId, TenantId};
use shared::store::Connection;
use shared::time::Timestamp;
use shared::ws::Publisher;

use super::Admin;
use super::explain::root;

/// How long a socket may take from `$connect` to the moment that it can be closed.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// How many sockets are looked at at once.
const AT_ONCE: usize = 16;

/// What became of the sockets.
#[derive(Debug)]
pub(crate) struct Closing {
    closed: usize,
    /// Those that were met and are still there.
    left: usize,
    problem: Option<String>,
}

impl Closing {
    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        json!({"closed": self.closed, "left": self.left, "problem": self.problem})
    }
}

/// What the sockets of a suspended tenant are told.
pub(crate) fn tenant_suspended() -> ApiError {
    ApiError::new(
        Code::ConnectionClosing,
        "Your tenant was suspended.",
        "Ask whoever runs this service to resume it, then connect again.",
    )
}

/// What the sockets are told that a revoked key opened.
pub(crate) fn key_revoked() -> ApiError {
    ApiError::new(
        Code::ConnectionClosing,
        "The API key that opened this connection was revoked.",
        "Connect again with another API key.",
    )
}

impl Admin {
    /// Closes the sockets of a tenant, or those that one key opened, and says how many. Never fails: the gate is shut
    /// already, and what stays open now is closed when it next speaks.
    pub(crate) async fn close_sockets(&self, tenant: &TenantId, key: Option<&KeyHash>, reason: &ApiError) -> Closing {
        let step = self.terminal.step("Closing sockets");
        let mut met = BTreeSet::new();
        let mut left = 0;
        let mut problem = None;
        for pause in [Duration::ZERO, SECOND_LOOK] {
            tokio::time::sleep(pause).await;
            match self.close_open(tenant, key, reason, &mut met).await {
                Ok(open) => left = open,
                Err(text) => {
                    problem = Some(text);
                    break;
                }
            }
        }
        let closed = met.len() - left;
        match (&problem, left) {
            (Some(problem), _) => {
                self.terminal.warning(format_args!("{problem}; open sockets are closed when they next speak"))
            }
            (None, 0) => step.done(match closed {
                0 => "No sockets were open".to_owned(),
                1 => "Closed 1 socket".to_owned(),
                _ => format!("Closed {closed} sockets"),
            }),
            (None, _) => self
                .terminal
                .warning(format_args!("Closed {closed} sockets; {left} still open are closed when they next speak")),
        }
        Closing { closed, left, problem }
    }

    /// Closes what is open now. Returns how many are so still.
    async fn close_open(
        &self,
        tenant: &TenantId,
        key: Option<&KeyHash>,
        reason: &ApiError,
        met: &mut BTreeSet<String>,
    ) -> Result<usize, String> {
        let mut noted = self
            .connections
            .of_tenant(tenant)
            .await
            .map_err(|error| format!("failed to read the connections of the tenant: {}", root(&error)))?;
        let now = Timestamp::now();
        noted.retain(|socket| socket.expires_at > now && key.is_none_or(|key| socket.pass.key == *key));
        let open = self.open_ones(noted).await?;
        met.extend(open.iter().map(|socket| socket.connection_id.to_string()));
        let request_id = MessageId::generate().as_str().replacen("msg_", "chat-cli-", 1);
        Publisher::new(self.management.clone()).close_all(&open, reason, &request_id).await;
        Ok(self.open_ones(open).await?.len())
    }

    async fn open_ones(&self, noted: Vec<Connection>) -> Result<Vec<Connection>, String> {
        let looks = stream::iter(noted).map(async |socket| {
            let open = self.is_open(&socket.connection_id).await?;
            Ok::<_, String>(open.then_some(socket))
        });
        looks.buffer_unordered(AT_ONCE).try_filter_map(async |open| Ok(open)).try_collect().await
    }

    async fn is_open(&self, socket: &ConnectionId) -> Result<bool, String> {
        match self.management.get_connection().connection_id(socket.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(GetConnectionError::is_gone_exception) => Ok(false),
            Err(error) => Err(format!(
                "sockets cannot be closed through {} ({}), so they were left open",
                self.place.management,
                root(&error)
            )),
        }
    }
}
