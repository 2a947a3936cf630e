//! Where in a template a value stands, for error messages.

use std::fmt;

use super::error::TemplateError;

/// A path such as `Resources.Worker.Properties.Timeout`.
#[derive(Debug, Clone)]
pub(super) struct Location(String);

impl Location {
    pub(super) fn section(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn resource(logical_id: &str) -> Self {
        Self::section("Resources").key(logical_id)
    }

    pub(super) fn key(&self, key: &str) -> Self {
        Self(format!("{}.{key}", self.0))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    pub(super) fn malformed(&self, expected: &str) -> TemplateError {
        TemplateError::Malformed { location: self.0.clone(), expected: expected.to_owned() }
    }

    pub(super) fn unsupported(&self, name: &str) -> TemplateError {
        TemplateError::UnsupportedIntrinsic { name: name.to_owned(), location: self.0.clone() }
    }

    pub(super) fn unknown(&self, name: &str) -> TemplateError {
        TemplateError::UnknownReference { name: name.to_owned(), location: self.0.clone() }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
