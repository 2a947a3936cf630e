//! The WebSocket API, from the handshake to the end of a connection.
//!
//! `connect` handles a request to connect, `socket` an open connection; both invoke functions through `integration`.

mod api;
mod close;
mod connect;
mod event;
mod handshake;
mod integration;
mod route;
mod socket;

pub(crate) use api::{Limits, WebSocketApi};
pub(crate) use event::Events;
