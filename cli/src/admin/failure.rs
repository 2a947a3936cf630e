//! The failure of a command that had already changed something.

use std::fmt;

use anyhow::Error;
use serde_json::{Value, json};

/// A failure, with what the command had done before it. Programs need both: a new key, for instance, is shown only once.
#[derive(Debug)]
pub(super) struct PartialFailure {
    /// What was done, as JSON.
    pub(super) done: Value,
    pub(super) error: Error,
}

impl fmt::Display for PartialFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for PartialFailure {}

impl From<Error> for PartialFailure {
    fn from(error: Error) -> Self {
        error.downcast().unwrap_or_else(|error| Self { done: json!({}), error })
    }
}
