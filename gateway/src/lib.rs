//! A local API Gateway, driven by a SAM template.
//!
//! It emulates, on one address:
//!
//! - an HTTP API with Lambda proxy integrations, payload format 2.0;
//! - a WebSocket API: handshake with `$connect`, route selection by `RouteSelectionExpression`, `$disconnect`, frame
//!   and payload limits, idle timeout and connection duration;
//! - the `@connections` API of its connections;
//! - `Schedule` events with a `rate`, as EventBridge invokes them.
//!
//! It invokes functions through the Lambda Invoke API, which `cargo lambda watch` serves. Routes, functions, timeouts
//! and environment come from the [`template`] alone.
//!
//! It does not emulate TLS, authorizers, CORS configuration (a CORS preflight is routed like any request), throttling,
//! access log formats (it traces one event a request, target `gateway`, without query string, headers and body) or
//! `cron` schedules. It is meant for the loopback interface.
//!
//! As on AWS, a handshake that `$connect` rejects gets the status of the function, but not its body: the body is
//! `{"message", "connectionId", "requestId"}`.
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

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed unwrap fails the test"))]

// A module imports only modules of the groups above its own.
mod access_log;
mod connections;
mod forwarded_headers;
mod gateway_response;
mod integration_timeout;
mod invoke;
mod listener;
mod options;
mod proxy_response;
mod request_context;
mod url_encoding;

pub mod template;

mod error;
mod http_api;
mod management_api;
mod schedule;
mod websocket_api;

mod warm_up;

mod server;

pub use error::GatewayError;
pub use invoke::InvokeError;
pub use options::Options;
pub use server::Gateway;
