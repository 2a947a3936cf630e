//! `chat tenant`: who may use the API, and how much.

mod commands;
mod options;

pub(crate) use commands::run;
pub(crate) use options::Options;
