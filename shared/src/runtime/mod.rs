//! What a function needs to run: work after the response, deadlines, retries, configuration, AWS clients, telemetry.
//!
//! May import `domain`.

pub mod after_response;
pub mod aws;
pub mod bootstrap;
pub(crate) mod cache;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod panics;
pub mod retry;
pub mod telemetry;
