//! How a generation ends: for the engine, and for the sockets.

use crate::{
    domain::{
        error::ApiError,
        message::{FinishReason, Usage},
    },
    websocket::Timing,
};

/// Why a generation stops.
#[derive(Debug)]
pub(super) enum GenerationEnd {
    /// The agent has sent its last delta, or its text reached a limit.
    Completed(FinishReason),
    /// A socket cancelled it.
    Cancelled,
    /// It cannot go on.
    Failed(ApiError),
    /// Another process owns it now.
    LeaseLost,
}

/// What sockets are told when a generation has ended.
#[derive(Debug)]
pub(super) struct EndNotice {
    pub(super) error: Option<ApiError>,
    pub(super) finish_reason: FinishReason,
    pub(super) usage: Usage,
    pub(super) timing: Timing,
}
