//! The gateway between a client and a Lambda Invoke API that the tests play.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod harness;
mod http_api;
mod management;
mod server;
mod template;
mod websocket_api;
