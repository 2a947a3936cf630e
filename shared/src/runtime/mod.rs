//! What a function needs to run: work after the response, clock, deadline, retries, configuration, AWS clients, telemetry.
//!
//! May import `domain`.

pub mod after_response;
pub mod aws;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod retry;
pub mod telemetry;
