//! What the configuration of every function has in common.

use super::{environment::Environment, error::ConfigError, variables::Variable};

/// The configuration of one function.
pub trait FunctionConfig: Sized {
    /// The function's name in `template.yaml`, which is its crate's.
    const FUNCTION: &'static str;

    /// Reads every variable, then builds the configuration if all of them are fine. A missing or invalid variable must
    /// not end the reading: the error names all of them, and [`variables`](Self::variables) lists what was read.
    fn read(environment: &mut Environment) -> Option<Self>;

    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// Every variable that is missing or invalid.
    fn from_env() -> Result<Self, ConfigError> {
        Self::from_environment(Environment::of_process())
    }

    /// Reads a given environment.
    ///
    /// # Errors
    ///
    /// Every variable that is missing or invalid.
    fn from_environment(mut environment: Environment) -> Result<Self, ConfigError> {
        let config = Self::read(&mut environment);
        environment.finish(config)
    }

    /// The variables that the function reads, beside those of every function ([`RuntimeConfig::variables`](super::RuntimeConfig::variables)).
    #[must_use]
    fn variables() -> Vec<&'static Variable> {
        let mut environment = Environment::default();
        let _ = Self::read(&mut environment);
        environment.into_variables()
    }
}

/// The configuration of a function that serves tenants over REST, each of which is found in the tenants table.
pub trait RestConfig: FunctionConfig {
    /// The name of the tenants table.
    fn tenants_table(&self) -> &str;
}
