//! Logs, and the metrics that CloudWatch extracts from them.
//!
//! Each request and each background task is an `Activity`. SDK clients and the publisher count what they use in it; one
//! log line reports it at the end. `docs/LOGGING.md` describes every line. No line may hold a key, a ticket, the content
//! of a message or a whole event.

mod activity;
mod capacity;
mod generation_line;
mod line;
mod log;
mod metrics;
mod request;
mod send_trace;

mod trace;

pub use activity::{background_task, in_current_scope, note_tenant};
pub use capacity::CountCapacity;
pub use generation_line::{GenerationLine, GenerationResult, GenerationSummary, interrupted};
pub use log::{causes, init, log_attempt, log_cause, log_panics};
pub use metrics::{METRICS, Metric, NAMESPACE, Unit};
pub(crate) use request::SCHEDULE;
pub use request::{RequestEnd, RequestStart, log_request};
pub use send_trace::{SendTrace, current_trace};
pub use trace::Trace;

pub(crate) use activity::{count_frame, count_maintenance_failure, count_refused_post, count_retried_post};
