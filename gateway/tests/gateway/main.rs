//! The gateway between real clients and a Lambda Invoke API that each test controls.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod harness;
mod http_api;
mod management;
mod server;
mod template;
mod websocket_api;
