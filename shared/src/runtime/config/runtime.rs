//! What every function reads.

use super::{
    environment::Environment,
    variables::{AFTER_RESPONSE, LOG_LEVEL, STACK_NAME, Variable},
};

/// The settings of every function. Each has a default, so that a function can log what else is wrong.
#[derive(Clone)]
pub struct RuntimeConfig {
    log_level: Option<String>,
    stack_name: Option<String>,
    after_response: Option<String>,
}

impl RuntimeConfig {
    /// Reads the environment of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(&mut Environment::of_process())
    }

    fn read(environment: &mut Environment) -> Self {
        Self {
            log_level: environment.optional_text(&LOG_LEVEL),
            stack_name: environment.optional_text(&STACK_NAME),
            after_response: environment.optional_text(&AFTER_RESPONSE),
        }
    }

    /// The variables that every function reads.
    #[must_use]
    pub fn variables() -> Vec<&'static Variable> {
        let mut environment = Environment::default();
        Self::read(&mut environment);
        environment.into_variables()
    }

    /// The least severe level that is logged: `info` by default.
    #[must_use]
    pub fn log_level(&self) -> &str {
        self.log_level.as_deref().unwrap_or("info")
    }

    /// The stack that the function is part of.
    #[must_use]
    pub fn stack_name(&self) -> &str {
        self.stack_name.as_deref().unwrap_or("unnamed")
    }

    /// Whether work after the response goes on by itself, because nothing freezes this process between two events. True
    /// on the local stack, never on Lambda.
    #[must_use]
    pub fn detaches_after_response(&self) -> bool {
        self.after_response.as_deref() == Some("detached")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_default() {
        let config = RuntimeConfig::read(&mut Environment::default());
        assert_eq!((config.log_level(), config.stack_name()), ("info", "unnamed"));
        assert!(!config.detaches_after_response());
    }

    #[test]
    fn only_the_local_stack_detaches_work_after_the_response() {
        let detaches = |value| {
            RuntimeConfig::read(&mut Environment::from_iter([("AFTER_RESPONSE", value)])).detaches_after_response()
        };
        assert!(detaches("detached") && !detaches("") && !detaches("true"));
    }
}
