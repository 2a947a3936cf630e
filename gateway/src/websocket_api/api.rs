//! What all connections of a WebSocket API share.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::Connections;
use crate::invoke::Invoker;
use crate::template;

pub(crate) struct WebSocketApi {
    pub(crate) api: template::WebSocketApi,
    pub(crate) limits: Limits,
    pub(crate) invoker: Arc<Invoker>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// Limits of one connection. See [`Options`](crate::Options).
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) outgoing: usize,
    pub(crate) in_flight: usize,
}
