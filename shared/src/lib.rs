//! What the functions share, in layers. Each layer may use those above it in this list and none below.
//!
//! | layer | what lives here |
//! |---|---|
//! | [`domain`] | ids, keys, chats, messages, limits, pagination, errors, time: no I/O, no AWS type |
//! | [`runtime`] | work after the response, deadlines, retries, configuration, AWS clients, telemetry |
//! | [`storage`] | DynamoDB: one repository per aggregate over one private table client |
//! | [`auth`] | API key → tenant → access |
//! | [`agents`] | the models behind one trait |
//! | [`websocket`] | frames, events, the publisher, connection slots |
//! | [`generation`] | one assistant message, from the agent to connections and history |
//! | [`maintenance`] | the sweeps of the scheduled function |
//! | [`rest`], [`schedule`] | the other two edges |

pub mod agents;
pub mod auth;
pub mod domain;
pub mod generation;
pub mod maintenance;
pub mod rest;
pub mod runtime;
pub mod schedule;
pub mod storage;
pub mod websocket;
