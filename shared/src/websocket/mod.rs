//! The WebSocket edge: from API Gateway's events to handlers, from the domain to events on sockets.
//!
//! May import `domain`, `runtime`, `storage` and `auth`. Within the layer each module may use those above it in this list
//! and none below: `event`, `frame`, `post_retry`, `publisher`, `connection_slots`, `serve`.

pub mod connection_slots;
mod event;
mod frame;
mod post_retry;
mod publisher;
mod serve;

pub use connection_slots::ConnectionSlots;
pub use event::{Body, ErrorReport, Event, MAX_EVENT_BYTES, Timing, json_prefix};
pub use frame::{Content, Frame, MessageReference, Offset};
pub use post_retry::{PostError, PostRetry};
pub use publisher::Publisher;
pub use serve::{SocketEvent, run};
