//! What a function needs to run: work after the response, deadlines, retries, configuration, AWS clients, telemetry.
//!
//! May import `domain`.

pub mod after_response;
pub mod aws;
pub mod catch_panic;
pub mod config;
pub mod deadline;
pub mod retry;
pub mod telemetry;
