//! The environment of a function, read once before it runs. Names and values come from `template.yaml`.

use std::{collections::HashMap, str::FromStr};

use crate::agent::{AgentName, Pace};

/// The environment as it was when the function started.
#[derive(Clone, Debug)]
pub struct Config {
    variables: HashMap<String, String>,
}

/// A variable that is missing or cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set.
    #[error("failed to read the environment: {0} is not set; template.yaml sets it for the functions that need it")]
    Missing(&'static str),
    /// The variable is set to something else.
    #[error("failed to read the environment: {0} is not {1}")]
    Invalid(&'static str, &'static str),
}

impl Config {
    /// Reads the environment of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self { variables: std::env::vars().collect() }
    }

    /// The name of the tenants table.
    ///
    /// # Errors
    ///
    /// When `TENANTS_TABLE` is not set.
    pub fn tenants_table(&self) -> Result<String, ConfigError> {
        self.text("TENANTS_TABLE")
    }

    /// The name of the chats table.
    ///
    /// # Errors
    ///
    /// When `CHATS_TABLE` is not set.
    pub fn chats_table(&self) -> Result<String, ConfigError> {
        self.text("CHATS_TABLE")
    }

    /// The name of the connections table.
    ///
    /// # Errors
    ///
    /// When `CONNECTIONS_TABLE` is not set.
    pub fn connections_table(&self) -> Result<String, ConfigError> {
        self.text("CONNECTIONS_TABLE")
    }

    /// Where messages to sockets are posted: `https://{api}.execute-api.{region}.amazonaws.com/{stage}`. It is set,
    /// not taken from the event, whose domain may be a custom one that does not serve `@connections`.
    ///
    /// # Errors
    ///
    /// When `MANAGEMENT_ENDPOINT` is not set.
    pub fn management_endpoint(&self) -> Result<String, ConfigError> {
        self.text("MANAGEMENT_ENDPOINT")
    }

    /// Where clients open WebSockets: `wss://…`, without a query.
    ///
    /// # Errors
    ///
    /// When `WEBSOCKET_URL` is not set.
    pub fn websocket_url(&self) -> Result<String, ConfigError> {
        self.text("WEBSOCKET_URL")
    }

    /// The agent of chats that do not name one.
    ///
    /// # Errors
    ///
    /// When `DEFAULT_AGENT` is not set, or names no agent.
    pub fn default_agent(&self) -> Result<AgentName, ConfigError> {
        AgentName::parse(&self.text("DEFAULT_AGENT")?).ok_or(ConfigError::Invalid("DEFAULT_AGENT", "an agent's name"))
    }

    /// How fast the echo agent speaks.
    ///
    /// # Errors
    ///
    /// When `ECHO_TOKENS_PER_SECOND` is not set, or no number from 0.
    pub fn echo_pace(&self) -> Result<Pace, ConfigError> {
        const NAME: &str = "ECHO_TOKENS_PER_SECOND";
        let number = f64::from_str(&self.text(NAME)?).ok().and_then(Pace::tokens_per_second);
        number.ok_or(ConfigError::Invalid(NAME, "a number from 0"))
    }

    /// The least severe level that is logged; `info` unless `LOG_LEVEL` says otherwise.
    #[must_use]
    pub fn log_level(&self) -> &str {
        self.variables.get("LOG_LEVEL").map_or("info", String::as_str)
    }

    /// Whether work after the answer goes on by itself (`AFTER_ANSWER=detached`), because nothing freezes this process
    /// between two events. True on the local stack, never on Lambda.
    #[must_use]
    pub fn detaches_after_answer(&self) -> bool {
        self.variables.get("AFTER_ANSWER").is_some_and(|value| value == "detached")
    }

    fn text(&self, name: &'static str) -> Result<String, ConfigError> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned().ok_or(ConfigError::Missing(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, value: &str) -> Config {
        Config { variables: HashMap::from([(name.to_owned(), value.to_owned())]) }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = config("CHATS_TABLE", "").chats_table();
        assert_eq!(error, Err(ConfigError::Missing("CHATS_TABLE")), "empty is not set");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for bad in ["-1", "inf", "fast"] {
            assert!(config("ECHO_TOKENS_PER_SECOND", bad).echo_pace().is_err(), "{bad}");
        }
        assert!(config("DEFAULT_AGENT", "nobody").default_agent().is_err());
    }
}
