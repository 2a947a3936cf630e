//! Chats: owner, title, metadata, and the configuration of their agent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{
    agent_name::AgentName,
    error::ApiError,
    id::{ChatId, UserId},
    input::{Field, Fields},
    time::Timestamp,
};

/// A chat as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Chat {
    /// The chat's id.
    pub chat_id: ChatId,
    /// The only user who may connect to the chat.
    pub user_id: UserId,
    /// A title for people.
    pub title: Option<Title>,
    /// A JSON object of the tenant's own.
    pub metadata: Metadata,
    /// The agent and its settings.
    pub config: ChatConfig,
    /// The number of messages, of the user and of the assistant.
    pub message_count: u32,
    /// When the chat was created.
    pub created_at: Timestamp,
    /// When title, metadata or config changed last.
    pub updated_at: Timestamp,
    /// When the last user message was stored.
    pub last_message_at: Option<Timestamp>,
}

/// The agent of a chat and its settings. The agent chooses what is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChatConfig {
    /// The agent.
    pub agent: Option<AgentName>,
    /// The model, by the name that the agent's provider uses.
    pub model: Option<ModelName>,
    /// Instructions that precede the conversation, at most 16 KiB.
    pub system_prompt: Option<SystemPrompt>,
    /// The sampling temperature, 0 to 2.
    pub temperature: Option<Temperature>,
    /// The most tokens of an assistant message.
    pub max_tokens: Option<MaxTokens>,
}

/// The body of a request that creates a chat.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewChat {
    /// The user who owns the chat.
    pub user_id: UserId,
    /// A title for people.
    pub title: Option<Title>,
    /// A JSON object of the tenant's own.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Metadata>"))]
    pub metadata: Metadata,
    /// The agent and its settings.
    #[cfg_attr(feature = "schema", schemars(with = "Option<ChatConfig>"))]
    pub config: ChatConfig,
}

impl NewChat {
    /// Reads the body of `POST /api/v1/chats/`.
    ///
    /// # Errors
    ///
    /// `MISSING_PARAMETER`, `INVALID_PARAMETER` or `UNKNOWN_FIELD`, with the field.
    pub fn read(mut body: Fields) -> Result<Self, ApiError> {
        let new_chat = Self {
            user_id: body.required("user_id")?,
            title: body.optional("title")?,
            metadata: body.optional("metadata")?.unwrap_or_default(),
            config: body.nested("config")?.map(ChatConfig::read).transpose()?.unwrap_or_default(),
        };
        body.finish()?;
        Ok(new_chat)
    }
}

/// The body of a request that updates a chat. An absent field stays as it is (`None`); null clears it (`Some(None)`).
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChatChange {
    /// The new title.
    pub title: Option<Option<Title>>,
    /// The new metadata, whole.
    pub metadata: Option<Metadata>,
    /// The changed settings.
    #[cfg_attr(feature = "schema", schemars(with = "Option<ConfigChange>"))]
    pub config: ConfigChange,
}

/// The changed settings of a chat. An absent field stays as it is; null clears it.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigChange {
    /// The new agent.
    pub agent: Option<Option<AgentName>>,
    /// The new model.
    pub model: Option<Option<ModelName>>,
    /// The new system prompt.
    pub system_prompt: Option<Option<SystemPrompt>>,
    /// The new temperature.
    pub temperature: Option<Option<Temperature>>,
    /// The new limit of tokens.
    pub max_tokens: Option<Option<MaxTokens>>,
}

impl ChatChange {
    /// Reads the body of `PATCH /api/v1/chats/{chat_id}`.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` or `UNKNOWN_FIELD`, with the field.
    pub fn read(mut body: Fields) -> Result<Self, ApiError> {
        let clears_config = body.has("config");
        let change = Self {
            title: body.changed("title")?,
            metadata: body.changed("metadata")?.map(Option::unwrap_or_default),
            config: match body.nested("config")? {
                Some(config) => ConfigChange::read(config)?,
                None if clears_config => ConfigChange::clear(),
                None => ConfigChange::default(),
            },
        };
        body.finish()?;
        Ok(change)
    }
}

impl ConfigChange {
    fn read(mut config: Fields) -> Result<Self, ApiError> {
        let change = Self {
            agent: config.changed("agent")?,
            model: config.changed("model")?,
            system_prompt: config.changed("system_prompt")?,
            temperature: config.changed("temperature")?,
            max_tokens: config.changed("max_tokens")?,
        };
        config.finish()?;
        Ok(change)
    }

    /// Whether agent or model change.
    #[must_use]
    pub fn changes_model(&self) -> bool {
        self.agent.is_some() || self.model.is_some()
    }

    /// A configuration with the changed agent and model.
    #[must_use]
    pub fn apply_model(&self, config: ChatConfig) -> ChatConfig {
        let agent = self.agent.unwrap_or(config.agent);
        let model = self.model.clone().unwrap_or(config.model);
        ChatConfig { agent, model, ..config }
    }

    fn clear() -> Self {
        Self {
            agent: Some(None),
            model: Some(None),
            system_prompt: Some(None),
            temperature: Some(None),
            max_tokens: Some(None),
        }
    }
}

impl ChatConfig {
    fn read(mut config: Fields) -> Result<Self, ApiError> {
        let read = Self {
            agent: config.optional("agent")?,
            model: config.optional("model")?,
            system_prompt: config.optional("system_prompt")?,
            temperature: config.optional("temperature")?,
            max_tokens: config.optional("max_tokens")?,
        };
        config.finish()?;
        Ok(read)
    }

    /// This configuration, with `defaults` where a setting is absent.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            agent: self.agent.or(defaults.agent),
            model: self.model.or(defaults.model),
            system_prompt: self.system_prompt.or(defaults.system_prompt),
            temperature: self.temperature.or(defaults.temperature),
            max_tokens: self.max_tokens.or(defaults.max_tokens),
        }
    }
}

/// A title for people, at most 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("maxLength" = Self::MAX_CHARS)))]
pub struct Title(String);

impl Title {
    const MAX_CHARS: usize = 200;
}

impl Field for Title {
    const ALLOWED: &'static str = "a text of at most 200 characters";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| text.chars().count() <= Self::MAX_CHARS).map(|text| Self(text.to_owned()))
    }
}

/// A JSON object of the tenant's own, at most 16 KiB when written without spaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// The object as JSON text.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads the object from JSON text.
    pub(crate) fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

impl Field for Metadata {
    const ALLOWED: &'static str = "an object of at most 16384 bytes of JSON";

    fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        (value.to_string().len() <= 16 * 1024).then(|| Self(object.clone()))
    }
}

/// The name of a model, as the agent's provider writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = Self::MAX_CHARS)))]
pub struct ModelName(String);

impl ModelName {
    const MAX_CHARS: usize = 256;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Field for ModelName {
    const ALLOWED: &'static str = "a text of 1 to 256 characters";

    fn read(value: &Value) -> Option<Self> {
        value
            .as_str()
            .filter(|text| (1..=Self::MAX_CHARS).contains(&text.chars().count()))
            .map(|text| Self(text.to_owned()))
    }
}

/// Instructions that precede the conversation, at most 16 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("maxLength" = Self::MAX_BYTES)))]
pub struct SystemPrompt(String);

impl SystemPrompt {
    /// The longest prompt, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The prompt as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Field for SystemPrompt {
    const ALLOWED: &'static str = "a text of at most 16384 bytes in UTF-8";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| text.len() <= Self::MAX_BYTES).map(|text| Self(text.to_owned()))
    }
}

/// The sampling temperature: 0, or 0.000001 to 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend(
    "maximum" = Self::MAX, "anyOf" = [{ "const": 0 }, { "minimum": Self::LEAST }]
)))]
pub struct Temperature(f64);

impl Temperature {
    const LEAST: f64 = 0.000_001;
    const MAX: f64 = 2.0;

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Field for Temperature {
    const ALLOWED: &'static str = "0, or a number from 0.000001 to 2";

    fn read(value: &Value) -> Option<Self> {
        // DynamoDB cannot store numbers as close to zero as JSON can.
        value.as_f64().filter(|number| *number == 0.0 || (Self::LEAST..=Self::MAX).contains(number)).map(Self)
    }
}

/// The most tokens of an assistant message, 1 to 100,000. A deployment may allow fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minimum" = 1, "maximum" = Self::MAX)))]
pub struct MaxTokens(u32);

impl Field for MaxTokens {
    const ALLOWED: &'static str = "a whole number from 1 to 100000";

    fn read(value: &Value) -> Option<Self> {
        // In JSON 500.0 equals 500. The cast saturates, so numbers out of range stay out of range.
        let number = value.as_f64().filter(|number| number.fract() == 0.0)? as u32;
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }
}

impl MaxTokens {
    const MAX: u32 = 100_000;

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Code;

    #[test]
    fn change_of_the_model_keeps_the_agent_and_null_clears() {
        let model = |name: &str| ModelName::read(&name.into());
        let config = ChatConfig { agent: Some(AgentName::OpenAi), model: model("a"), ..ChatConfig::default() };
        let change = ConfigChange { model: Some(model("b")), ..ConfigChange::default() };
        assert!(change.changes_model() && ConfigChange::clear().changes_model());
        assert!(!ConfigChange { temperature: Some(None), ..ConfigChange::default() }.changes_model());
        let changed = change.apply_model(config.clone());
        assert_eq!((changed.agent, changed.model), (Some(AgentName::OpenAi), model("b")));
        let cleared = ConfigChange::clear().apply_model(config);
        assert_eq!((cleared.agent, cleared.model), (None, None));
    }

    fn read(body: &Value) -> Result<NewChat, (Code, Value)> {
        let fields = Fields::from_json(body.to_string().as_bytes()).expect("an object");
        NewChat::read(fields).map_err(|error| (error.code(), error.to_json()["details"]["field"].clone()))
    }

    #[test]
    fn only_user_id_is_required() {
        let chat = read(&serde_json::json!({ "user_id": "user123" })).expect("valid");
        assert_eq!(chat.title, None);
        assert_eq!(chat.metadata, Metadata::default());
        assert_eq!(chat.config, ChatConfig::default());
    }

    #[test]
    fn every_field_is_bounded() {
        let with = |name: &str, value: Value| serde_json::json!({ "user_id": "u", name: value });
        assert!(read(&with("title", "ü".repeat(200).into())).is_ok());
        assert!(read(&with("config", serde_json::json!({ "max_tokens": 500.0 }))).is_ok());
        assert!(read(&with("metadata", serde_json::json!({ "k": "x".repeat(16 * 1024 - 8) }))).is_ok());
        for (name, value) in [
            ("title", Value::from("x".repeat(201))),
            ("title", 5.into()),
            ("metadata", serde_json::json!([])),
            ("metadata", serde_json::json!({ "k": "x".repeat(16 * 1024 - 7) })),
            ("config", "echo".into()),
        ] {
            assert_eq!(read(&with(name, value)), Err((Code::InvalidParameter, name.into())));
        }
        for (name, value) in [
            ("agent", Value::from("unknown")),
            ("model", "".into()),
            ("system_prompt", "x".repeat(16 * 1024 + 1).into()),
            ("temperature", 2.1.into()),
            ("temperature", 1e-200.into()),
            ("temperature", "1".into()),
            ("max_tokens", 0.into()),
            ("max_tokens", (-1).into()),
            ("max_tokens", 1e300.into()),
            ("max_tokens", 1.5.into()),
        ] {
            let field = format!("config.{name}");
            let body = with("config", serde_json::json!({ name: value }));
            assert_eq!(read(&body), Err((Code::InvalidParameter, field.into())));
        }
        assert_eq!(read(&with("name", "x".into())), Err((Code::UnknownField, "name".into())));
        assert_eq!(read(&serde_json::json!({})), Err((Code::MissingParameter, "user_id".into())));
    }

    #[test]
    fn defaults_fill_absent_settings() {
        let chosen = ChatConfig { temperature: Some(Temperature(0.5)), ..ChatConfig::default() };
        let defaults =
            ChatConfig { agent: Some(AgentName::Echo), temperature: Some(Temperature(1.0)), ..ChatConfig::default() };
        let filled = chosen.or(defaults);
        assert_eq!((filled.agent, filled.temperature), (Some(AgentName::Echo), Some(Temperature(0.5))));
    }
}
