//! `cargo xtask docs`: the documents that describe the API to programs.
//!
//! Shapes come from the types that the functions send and receive. What a type cannot express (paths, statuses, headers,
//! examples) is written here. The end-to-end tests validate every response and event against the checked-in documents.

mod asyncapi;
mod codes;
mod command;
mod document;
mod examples;
mod openapi;
mod operations;
mod schemas;
#[cfg(test)]
mod tests;

pub(crate) use command::{Options, run};
