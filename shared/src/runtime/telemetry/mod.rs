//! What operators see of the functions: logs, and metrics that CloudWatch reads out of them.
//!
//! Whoever works for somebody does it within an [`activity`](work): a request, or work after its answer. What the SDK
//! clients and the publisher do is counted there, and one line tells of it in the end. `docs/LOGGING.md` describes every
//! line and says what must be in none: never a key, a ticket, the content of a message or a whole event.

mod activity;
mod capacity;
mod line;
mod log;
mod metrics;
mod request;
mod stream;
mod trace;

pub use activity::{background_task, in_current_scope, note_tenant};
pub use capacity::CountCapacity;
pub use log::{causes, init, log_cause, log_panics};
pub use metrics::{METRICS, Metric, NAMESPACE, Unit};
pub use request::{RequestEnd, RequestStart, log_request};
pub use stream::{StreamEnd, StreamLine, Streamed, interrupted};
pub use trace::{SendTrace, Trace, current_trace};

pub(crate) use activity::{count_frame, count_retried_post};
