//! A local API Gateway that is driven by a SAM template.
//!
//! In front it is what API Gateway is: an HTTP API, a WebSocket API and the `@connections` API of its sockets, on one
//! address. Behind it calls the Lambda Invoke API, as `cargo lambda watch` serves it. Routes, functions, timeouts and
//! environment are those of the [`template`]; nothing else needs to be written down.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::collections::BTreeMap;
//! use std::path::Path;
//!
//! use gateway::template::Template;
//! use gateway::{Gateway, Options};
//!
//! let template = Template::load(Path::new("template.yaml"), &BTreeMap::new())?;
//! let gateway = Gateway::bind(&template, Options::default()).await?;
//! gateway.warm_up().await?;
//! gateway.serve(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Functions with a `Schedule` are invoked when it says so.
//!
//! It behaves as AWS does where a function or a client could tell the difference. What they cannot count on here: there is
//! no TLS, no authorizer, no CORS configuration, no throttling and no access log but one tracing line a request (target
//! `gateway`, without query strings and bodies). It is for the loopback interface.
//!
//! A handshake that `$connect` refuses is answered with the status that the function chose, but not with its body: API
//! Gateway puts `{"message", "connectionId", "requestId"}` in its place.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may fail where it stands"))]

mod connections;
mod encoding;
mod http_api;
mod invoke;
mod listener;
mod management;
mod schedule;
mod server;
mod stamp;
pub mod template;
mod warm_up;
mod websocket_api;

pub use invoke::InvokeError;
pub use server::{Gateway, GatewayError, Options};
