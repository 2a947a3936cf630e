//! The WebSocket edge: from an API Gateway event to a handler, from the domain to events on sockets.

mod event;
mod frame;
mod publisher;
mod serve;

pub use event::{Body, ErrorReport, Event, MAX_EVENT_BYTES, Timing, fitting};
pub use frame::{AnswerName, Content, Frame, Offset};
pub use publisher::{PostError, PostRetry, Publisher};
pub use serve::{SocketEvent, run};
pub mod connection_slots;
