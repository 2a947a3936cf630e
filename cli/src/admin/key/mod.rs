//! `chat key`: the API keys of a tenant.

mod commands;
mod options;

pub(crate) use commands::run;
pub(crate) use options::Options;
