//! What all connections of a WebSocket API share.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{connections::Connections, invoke::Invoker, template};

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
