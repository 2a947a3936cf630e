//! `chat usage`: what tenants have used, and what that costs.

mod commands;
mod options;
mod prices;
mod tenant_usage;
mod view;

pub(crate) use commands::run;
pub(crate) use options::Options;
