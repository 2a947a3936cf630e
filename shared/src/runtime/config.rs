//! The environment of a function, read once before it runs. Names and values come from `template.yaml`.

use std::{collections::HashMap, fmt, str::FromStr};

use http::HeaderMap;
use serde_json::Value;

use crate::{
    agents::{OpenAiSettings, Pace},
    domain::{agent_name::AgentName, chat::ModelName, input::Field},
};

/// The environment as it was when the function started.
#[derive(Clone)]
pub struct Config {
    variables: HashMap<String, String>,
}

/// The names alone: a value may be a key.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
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

    /// How many tokens of a chat an agent is given, by our own estimate.
    ///
    /// # Errors
    ///
    /// When `CONTEXT_TOKENS` is not set, or no whole number.
    pub fn context_tokens(&self) -> Result<u32, ConfigError> {
        const NAME: &str = "CONTEXT_TOKENS";
        self.text(NAME)?.parse().map_err(|_| ConfigError::Invalid(NAME, "a whole number from 0"))
    }

    /// How the `openai` agent asks. Its key is there only on a laptop; elsewhere [`Config::openai_secret_name`] says
    /// where it is kept.
    ///
    /// # Errors
    ///
    /// When `OPENAI_BASE_URL`, `OPENAI_MODEL` or `OPENAI_HEADERS` is set and cannot be read.
    pub fn openai(&self) -> Result<OpenAiSettings, ConfigError> {
        const BASE_URL: &str = "OPENAI_BASE_URL";
        const HEADERS: &str = "OPENAI_HEADERS";
        let base_url = self.optional(BASE_URL).map(|text| text.parse().map_err(|_| ())).transpose();
        let base_url = base_url.ok().filter(|url: &Option<http::Uri>| url.as_ref().is_none_or(is_http));
        let headers = self.optional(HEADERS).map_or(Some(HeaderMap::new()), headers);
        Ok(OpenAiSettings {
            base_url: base_url.ok_or(ConfigError::Invalid(BASE_URL, "an address that begins with http(s)://"))?,
            model: self.model("OPENAI_MODEL")?,
            key: self.optional("OPENAI_API_KEY").map(Into::into),
            headers: headers.ok_or(ConfigError::Invalid(HEADERS, "a JSON object of header names and values"))?,
        })
    }

    /// The secret of Secrets Manager that holds the key of the `openai` agent, if it needs one.
    #[must_use]
    pub fn openai_secret_name(&self) -> Option<&str> {
        self.optional("OPENAI_SECRET_NAME")
    }

    /// The model of the `bedrock` agent, for chats that name none.
    ///
    /// # Errors
    ///
    /// When `BEDROCK_MODEL` is set and cannot be a model's name.
    pub fn bedrock_model(&self) -> Result<Option<ModelName>, ConfigError> {
        self.model("BEDROCK_MODEL")
    }

    /// The least severe level that is logged; `info` unless `LOG_LEVEL` says otherwise.
    #[must_use]
    pub fn log_level(&self) -> &str {
        self.variables.get("LOG_LEVEL").map_or("info", String::as_str)
    }

    /// The stack that this function is part of, by which its metrics are told from those of other stacks.
    #[must_use]
    pub fn stack_name(&self) -> &str {
        self.optional("STACK_NAME").unwrap_or("unnamed")
    }

    /// Whether work after the answer goes on by itself (`AFTER_RESPONSE=detached`), because nothing freezes this process
    /// between two events. True on the local stack, never on Lambda.
    #[must_use]
    pub fn detaches_after_response(&self) -> bool {
        self.variables.get("AFTER_RESPONSE").is_some_and(|value| value == "detached")
    }

    fn model(&self, name: &'static str) -> Result<Option<ModelName>, ConfigError> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        ModelName::read(&text.into()).map(Some).ok_or(ConfigError::Invalid(name, ModelName::ALLOWED))
    }

    fn text(&self, name: &'static str) -> Result<String, ConfigError> {
        self.optional(name).map(str::to_owned).ok_or(ConfigError::Missing(name))
    }

    /// A template cannot leave a variable out, so an empty one is none.
    fn optional(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn is_http(url: &http::Uri) -> bool {
    matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() && url.query().is_none()
}

/// Reads `{"name": "value"}`. The values may be keys.
fn headers(json: &str) -> Option<HeaderMap> {
    let Ok(Value::Object(object)) = serde_json::from_str(json) else { return None };
    let header = |(name, value): (&String, &Value)| {
        let mut value = http::HeaderValue::from_str(value.as_str()?).ok()?;
        value.set_sensitive(true);
        Some((http::HeaderName::from_str(name).ok()?, value))
    };
    object.iter().map(header).collect()
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
        for (name, bad) in [
            ("OPENAI_BASE_URL", "127.0.0.1:8080"),
            ("OPENAI_BASE_URL", "ftp://models/v1"),
            ("OPENAI_BASE_URL", "http://models/v1?key=x"),
            ("OPENAI_HEADERS", "X-Title: Chat"),
            ("OPENAI_HEADERS", r#"{"X Title": "Chat"}"#),
            ("OPENAI_HEADERS", r#"{"X-Title": 1}"#),
        ] {
            assert!(config(name, bad).openai().is_err(), "{name}={bad}");
        }
    }

    #[test]
    fn the_openai_agent_needs_no_setting() {
        let openai = config("OPENAI_BASE_URL", "").openai().expect("nothing is wrong");
        assert!(openai.base_url.is_none() && openai.key.is_none() && openai.headers.is_empty());
        let openai = config("OPENAI_HEADERS", r#"{"X-Title": "Chat"}"#).openai().expect("headers");
        assert_eq!(openai.headers["x-title"], "Chat");
    }

    #[test]
    fn values_are_not_printed() {
        let printed = format!("{:?}", config("OPENAI_API_KEY", "sk-secret"));
        assert!(printed.contains("OPENAI_API_KEY") && !printed.contains("sk-secret"), "{printed}");
    }
}
