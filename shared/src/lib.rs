//! What the functions share: the domain's types, the tables, authentication, errors, and the two edges (HTTP and
//! WebSocket) through which a Lambda function meets the world.
//!
//! A function crate picks the few things that it may do from here; nothing here knows which functions exist.

pub mod after;
pub mod agent;
pub mod answer;
pub mod api_key;
pub mod auth;
pub mod aws;
pub mod budget;
pub mod chat;
pub mod config;
pub mod error;
pub mod housekeeping;
pub mod http;
pub mod id;
pub mod input;
pub mod leases;
pub mod limits;
pub mod message;
pub mod page;
pub mod scheduled;
#[cfg(feature = "schema")]
pub mod schema;
pub mod store;
pub mod telemetry;
pub mod ticket;
pub mod time;
pub mod ws;
