//! The configuration of `ws-message`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    allowed_models,
    environment::Environment,
    function::FunctionConfig,
    variables::{
        CHATS_TABLE, CONNECTIONS_TABLE, CONTEXT_TOKENS, ECHO_TOKENS_PER_SECOND, FRAME_INTERVAL_MS,
        GENERATIONS_PER_TENANT, MANAGEMENT_ENDPOINT, MESSAGES_PER_MINUTE, OPENAI_API_KEY, OPENAI_BASE_URL,
        OPENAI_HEADERS, OPENAI_SECRET_NAME, TENANTS_TABLE, TOKENS_PER_DAY, TOKENS_PER_MONTH,
    },
};
use crate::domain::{allowed_models::AllowedModels, budget::BudgetLimits, echo_pace};

/// The configuration of `ws-message`.
pub struct WsMessageConfig {
    /// The tenants table.
    pub tenants_table: String,
    /// The chats table.
    pub chats_table: String,
    /// The connections table.
    pub connections_table: String,
    /// The address of the management API.
    pub management_endpoint: String,
    /// What chats may use.
    pub allowed: AllowedModels,
    /// The budget of a tenant without limits of its own.
    pub budget_limits: BudgetLimits,
    /// The shortest time between two token frames to one socket, after the first ones of an answer.
    pub frame_interval: Duration,
    /// The tokens of a chat that an agent is given, by our own estimate.
    pub context_tokens: u32,
    /// The pace of the agent `echo`: 0, or finite and at least 1.
    pub echo_tokens_per_second: f64,
    /// The agent `openai`.
    pub openai: OpenAiConfig,
}

/// The settings of the agent `openai`, each of which may be left out.
#[derive(Default)]
pub struct OpenAiConfig {
    /// The address before `/chat/completions`.
    pub base_url: Option<Uri>,
    /// The key, on the local stack.
    pub key: Option<SecretString>,
    /// The secret of Secrets Manager that holds the key, on AWS.
    pub secret_name: Option<String>,
    /// Further headers. Their values may be keys.
    pub headers: HeaderMap,
}

impl FunctionConfig for WsMessageConfig {
    const FUNCTION: &'static str = "ws-message";

    fn read(environment: &mut Environment) -> Option<Self> {
        let tenants_table = environment.text(&TENANTS_TABLE);
        let chats_table = environment.text(&CHATS_TABLE);
        let connections_table = environment.text(&CONNECTIONS_TABLE);
        let management_endpoint = environment.text(&MANAGEMENT_ENDPOINT);
        let allowed = allowed_models::read(environment);
        let generations = environment.required(&GENERATIONS_PER_TENANT, |text| text.parse().ok());
        let messages_per_minute = environment.required(&MESSAGES_PER_MINUTE, |text| text.parse().ok());
        let tokens_per_day = environment.required(&TOKENS_PER_DAY, |text| text.parse().ok());
        let tokens_per_month = environment.required(&TOKENS_PER_MONTH, |text| text.parse().ok());
        let frame_interval =
            environment.required(&FRAME_INTERVAL_MS, |text| text.parse().ok().map(Duration::from_millis));
        let context_tokens = environment.required(&CONTEXT_TOKENS, |text| text.parse().ok());
        let echo_tokens_per_second = environment.required(&ECHO_TOKENS_PER_SECOND, pace);
        let openai = OpenAiConfig::read(environment);
        Some(Self {
            tenants_table: tenants_table?,
            chats_table: chats_table?,
            connections_table: connections_table?,
            management_endpoint: management_endpoint?,
            allowed: allowed?,
            budget_limits: BudgetLimits {
                generations: generations?,
                messages_per_minute: messages_per_minute?,
                tokens_per_day: tokens_per_day?,
                tokens_per_month: tokens_per_month?,
            },
            frame_interval: frame_interval?,
            context_tokens: context_tokens?,
            echo_tokens_per_second: echo_tokens_per_second?,
            openai: openai?,
        })
    }
}

impl OpenAiConfig {
    fn read(environment: &mut Environment) -> Option<Self> {
        let base_url = environment.optional(&OPENAI_BASE_URL, http_address);
        let key = environment.optional_text(&OPENAI_API_KEY).map(SecretString::from);
        let secret_name = environment.optional_text(&OPENAI_SECRET_NAME);
        let headers = environment.optional(&OPENAI_HEADERS, headers);
        Some(Self { base_url: base_url?, key, secret_name, headers: headers?.unwrap_or_default() })
    }
}

fn pace(text: &str) -> Option<f64> {
    text.parse().ok().filter(|pace: &f64| pace.is_finite() && *pace >= 0.0 && !echo_pace::is_below_floor(*pace))
}

fn http_address(text: &str) -> Option<Uri> {
    let is_http =
        |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() && url.query().is_none();
    text.parse().ok().filter(is_http)
}

/// Reads `{"name": "value"}`.
fn headers(json: &str) -> Option<HeaderMap> {
    let Ok(Value::Object(object)) = serde_json::from_str(json) else { return None };
    let header = |(name, value): (&String, &Value)| {
        let mut value = HeaderValue::from_str(value.as_str()?).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name).ok()?, value))
    };
    object.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::config::{ConfigError, variables::Variable};

    const COMPLETE: [(&str, &str); 14] = [
        ("TENANTS_TABLE", "tenants"),
        ("CHATS_TABLE", "chats"),
        ("CONNECTIONS_TABLE", "connections"),
        ("MANAGEMENT_ENDPOINT", "https://api.example.com/live"),
        ("DEFAULT_AGENT", "echo"),
        ("GENERATIONS_PER_TENANT", "50"),
        ("MESSAGES_PER_MINUTE", "600"),
        ("TOKENS_PER_DAY", "none"),
        ("TOKENS_PER_MONTH", "1000000"),
        ("CONFIGURED_AGENTS", "echo"),
        ("MAX_TOKENS", "4096"),
        ("FRAME_INTERVAL_MS", "100"),
        ("CONTEXT_TOKENS", "8000"),
        ("ECHO_TOKENS_PER_SECOND", "0"),
    ];

    fn with(name: &'static str, value: &'static str) -> Result<WsMessageConfig, ConfigError> {
        let rest = COMPLETE.into_iter().filter(|(known, _)| *known != name);
        WsMessageConfig::from_environment(rest.chain([(name, value)]).collect())
    }

    #[test]
    fn invalid_values_are_refused_with_the_name_of_the_variable() {
        for (name, bad) in [
            ("ECHO_TOKENS_PER_SECOND", "-1"),
            ("ECHO_TOKENS_PER_SECOND", "0.5"),
            ("ECHO_TOKENS_PER_SECOND", "inf"),
            ("ECHO_TOKENS_PER_SECOND", "fast"),
            ("CONTEXT_TOKENS", "-1"),
            ("FRAME_INTERVAL_MS", "-1"),
            ("GENERATIONS_PER_TENANT", "many"),
            ("MESSAGES_PER_MINUTE", "-1"),
            ("TOKENS_PER_DAY", "many"),
            ("TOKENS_PER_MONTH", "1e6"),
            ("DEFAULT_AGENT", "no-agent"),
            ("OPENAI_BASE_URL", "127.0.0.1:8080"),
            ("OPENAI_BASE_URL", "ftp://models/v1"),
            ("OPENAI_BASE_URL", "http://models/v1?key=x"),
            ("OPENAI_HEADERS", "X-Title: Chat"),
            ("OPENAI_HEADERS", r#"{"X Title": "Chat"}"#),
            ("OPENAI_HEADERS", r#"{"X-Title": 1}"#),
        ] {
            let error = with(name, bad).err().unwrap_or_else(|| panic!("{name}={bad} is accepted"));
            let named: Vec<&str> = error.problems().iter().map(|problem| problem.variable().name).collect();
            assert_eq!(named, [name], "{bad}");
            assert!(!error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn openai_settings_may_be_left_out() {
        let config = with("OPENAI_BASE_URL", "").expect("nothing is missing");
        let OpenAiConfig { base_url, key, secret_name, headers } = config.openai;
        assert!(base_url.is_none() && key.is_none() && secret_name.is_none() && headers.is_empty());
    }

    #[test]
    fn openai_headers_are_read_and_marked_as_sensitive() {
        let config = with("OPENAI_HEADERS", r#"{"X-Title": "Chat"}"#).expect("headers");
        let title = &config.openai.headers["x-title"];
        assert!(title == "Chat" && title.is_sensitive());
    }

    #[test]
    fn one_invalid_variable_does_not_hide_the_others() {
        let listed: Vec<&Variable> = WsMessageConfig::variables();
        assert_eq!(listed.len(), 22, "{listed:?}");
        let error = WsMessageConfig::from_environment(Environment::from_iter([("OPENAI_HEADERS", "none")]));
        assert_eq!(error.err().map(|error| error.problems().len()), Some(COMPLETE.len() + 1));
    }
}
