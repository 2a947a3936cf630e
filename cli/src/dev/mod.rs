//! `chat dev`: the whole stack on this machine.
//!
//! `plan` finds out what to start and checks that it can be started, `stack` starts it and waits. Whatever happens, all
//! child processes stop before this program exits.

mod agent;
mod build;
mod demo_tenant;
mod dynamodb;
mod dynamodb_only;
mod environment;
mod failure;
mod functions;
mod local_model;
mod node_only;
mod options;
mod parameters;
mod plan;
mod playground;
mod ports;
mod prerequisites;
mod ready;
mod request_log;
mod run;
mod run_folder;
mod shutdown;
mod stack;
mod tables;

pub(crate) use dynamodb_only::{DynamoDbOptions, run as run_dynamodb_only};
pub(crate) use node_only::run as run_node_only;
pub(crate) use options::Options;
pub(crate) use run::run;
