//! The words of the API as types: ids, keys, tenants, chats, messages, connections, generations, limits, usage, pagination, errors, time.
//!
//! No I/O and no AWS type. May import nothing of the other layers.

pub mod agent_name;
pub mod allowed_models;
pub mod api_key;
pub mod budget;
pub mod chat;
pub mod connection;
pub mod day;
pub mod echo_pace;
pub mod error;
pub mod generation;
pub mod id;
pub mod input;
pub mod limits;
pub mod message;
pub mod pagination;
#[cfg(feature = "schema")]
pub mod schema;
pub mod strict_json;
pub mod tenant;
pub mod ticket;
pub mod time;
pub mod tokens;
pub mod usage;
