//! What is wrong with an environment.

use std::fmt;

use super::variables::Variable;

/// Every variable that is missing or invalid. Values are left out: they may be keys.
#[derive(PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// What is wrong with one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not set.
    Missing(&'static Variable),
    /// It is set to something that cannot be read.
    Invalid(&'static Variable),
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// What is wrong, in the order of reading.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// The variable.
    #[must_use]
    pub fn variable(&self) -> &'static Variable {
        match self {
            Self::Missing(variable) | Self::Invalid(variable) => variable,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("failed to read the environment")?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(formatter, "{} {problem}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

/// As for people: it is what Rust prints of an error that `main` returns.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Variable { name, meaning, .. }) => {
                write!(formatter, "{name} is not set (template.yaml sets it to {meaning})")
            }
            Self::Invalid(Variable { name, meaning, .. }) => write!(formatter, "{name} is not {meaning}"),
        }
    }
}
