//! Chats: who owns them, what the tenant says of them, which agent answers in them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    agent::AgentName,
    error::ApiError,
    id::{ChatId, UserId},
    input::{Field, Fields},
    time::Timestamp,
};

/// A chat as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chat {
    /// The chat's id.
    pub chat_id: ChatId,
    /// The only user who may connect to it.
    pub user_id: UserId,
    /// A name for people.
    pub title: Option<Title>,
    /// Whatever the tenant wants to keep with the chat.
    pub metadata: Metadata,
    /// Who answers, and how.
    pub config: ChatConfig,
    /// How many messages there are, of the user and of the agent.
    pub message_count: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When title, metadata or config last changed.
    pub updated_at: Timestamp,
    /// When the last message of the user was stored.
    pub last_message_at: Option<Timestamp>,
}

/// Who answers in a chat, and how. What is `None` is the agent's own choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatConfig {
    /// The agent that answers.
    pub agent: Option<AgentName>,
    /// The model that the agent is to use, in the agent's terms.
    pub model: Option<ModelName>,
    /// What the agent is told before the conversation, at most 16 KiB.
    pub system_prompt: Option<SystemPrompt>,
    /// How freely the model chooses its words, 0 to 2.
    pub temperature: Option<Temperature>,
    /// How many tokens an answer may have.
    pub max_tokens: Option<MaxTokens>,
}

/// What a caller sends to make a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct NewChat {
    /// The user who will own it.
    pub user_id: UserId,
    /// A name for people.
    pub title: Option<Title>,
    /// Whatever the tenant wants to keep with the chat.
    pub metadata: Metadata,
    /// Who answers, and how.
    pub config: ChatConfig,
}

impl NewChat {
    /// Reads the body of `POST /api/v1/chats/`.
    ///
    /// # Errors
    ///
    /// One that names the field that is missing, wrong or unknown.
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

    /// This configuration, with `defaults` where it says nothing.
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

/// A chat's name for people, at most 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Title(String);

impl Field for Title {
    const ALLOWED: &'static str = "a text of at most 200 characters";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| text.chars().count() <= 200).map(|text| Self(text.to_owned()))
    }
}

/// A JSON object that the tenant keeps with a chat, at most 16 KiB when written without spaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Field for Metadata {
    const ALLOWED: &'static str = "an object of at most 16384 bytes of JSON";

    fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        (value.to_string().len() <= 16 * 1024).then(|| Self(object.clone()))
    }
}

/// The name of a model, in the terms of the agent that uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelName(String);

impl ModelName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Field for ModelName {
    const ALLOWED: &'static str = "a text of 1 to 256 characters";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| (1..=256).contains(&text.chars().count())).map(|text| Self(text.to_owned()))
    }
}

/// What an agent is told before the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemPrompt(String);

impl Field for SystemPrompt {
    const ALLOWED: &'static str = "a text of at most 16384 bytes in UTF-8";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| text.len() <= 16 * 1024).map(|text| Self(text.to_owned()))
    }
}

/// How freely a model chooses its words: 0 (always the likeliest) to 2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Temperature(f64);

impl Field for Temperature {
    const ALLOWED: &'static str = "a number from 0 to 2";

    fn read(value: &Value) -> Option<Self> {
        value.as_f64().filter(|number| (0.0..=2.0).contains(number)).map(Self)
    }
}

/// How many tokens an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MaxTokens(u32);

impl Field for MaxTokens {
    const ALLOWED: &'static str = "a whole number from 1 to 100000";

    fn read(value: &Value) -> Option<Self> {
        let number = u32::try_from(value.as_u64()?).ok()?;
        (1..=100_000).contains(&number).then_some(Self(number))
    }
}

impl MaxTokens {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn read(body: &Value) -> Result<NewChat, (Code, Value)> {
        let fields = Fields::from_json(body.to_string().as_bytes()).expect("an object");
        NewChat::read(fields).map_err(|error| (error.code(), error.to_json()["details"]["field"].clone()))
    }

    #[test]
    fn only_the_user_is_needed() {
        let chat = read(&serde_json::json!({ "user_id": "user123" })).expect("valid");
        assert_eq!(chat.title, None);
        assert_eq!(chat.metadata, Metadata::default());
        assert_eq!(chat.config, ChatConfig::default());
    }

    #[test]
    fn each_field_has_its_bounds() {
        let with = |name: &str, value: Value| serde_json::json!({ "user_id": "u", name: value });
        assert!(read(&with("title", "ü".repeat(200).into())).is_ok());
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
            ("agent", Value::from("nobody")),
            ("model", "".into()),
            ("system_prompt", "x".repeat(16 * 1024 + 1).into()),
            ("temperature", 2.1.into()),
            ("temperature", "1".into()),
            ("max_tokens", 0.into()),
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
    fn defaults_fill_only_what_is_open() {
        let chosen = ChatConfig { temperature: Some(Temperature(0.5)), ..ChatConfig::default() };
        let defaults =
            ChatConfig { agent: Some(AgentName::Echo), temperature: Some(Temperature(1.0)), ..ChatConfig::default() };
        let filled = chosen.or(defaults);
        assert_eq!((filled.agent, filled.temperature), (Some(AgentName::Echo), Some(Temperature(0.5))));
    }
}
