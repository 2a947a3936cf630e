//! The request body of Chat Completions.

use serde::Serialize;

use super::settings::OpenAiSettings;
use crate::{
    agents::{
        conversation::{Conversation, Turn},
        error::Failure,
    },
    domain::message::Role,
};

/// The request body.
#[derive(Debug, Serialize)]
pub(super) struct ChatCompletion<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl ChatCompletion<'_> {
    /// The request as JSON. Fails when neither the chat nor the settings name a model.
    pub(super) fn json(conversation: Conversation, settings: &OpenAiSettings) -> Result<String, Failure> {
        let config = conversation.config.clone();
        let turns = conversation.alternating();
        let model = config.model.as_ref().or(settings.model.as_ref()).ok_or(Failure::Rejected)?;
        let system = config.system_prompt.as_ref().filter(|prompt| !prompt.as_str().is_empty());
        let system = system.map(|prompt| Message { role: "system", content: prompt.as_str() });
        // OpenAI's newer models reject `max_tokens`; some other servers do not know `max_completion_tokens`.
        let limit = config.max_tokens.map(|max| max.get());
        let is_openai = settings.base_url.as_ref().is_none_or(|url| url.host() == Some("api.openai.com"));
        let (max_tokens, max_completion_tokens) = if is_openai { (None, limit) } else { (limit, None) };
        let request = ChatCompletion {
            model: model.as_str(),
            messages: system.into_iter().chain(turns.iter().map(Message::from)).collect(),
            temperature: config.temperature.map(|temperature| temperature.get()),
            max_tokens,
            max_completion_tokens,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        };
        serde_json::to_string(&request).map_err(|_| Failure::Rejected)
    }
}

impl<'a> From<&'a Turn> for Message<'a> {
    fn from(turn: &'a Turn) -> Self {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Self { role, content: &turn.content }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(config: Value, base_url: Option<&str>) -> Value {
        let turn = |role, content: &str| Turn { role, content: content.to_owned() };
        let turns = vec![turn(Role::User, "I am Zoë."), turn(Role::Assistant, "Hello!"), turn(Role::User, "Who am I?")];
        let config = serde_json::from_value(config).expect("a configuration");
        let base_url = base_url.map(|url| url.parse().expect("an address"));
        let settings = OpenAiSettings { base_url, ..OpenAiSettings::default() };
        let request = ChatCompletion::json(Conversation { turns, config }, &settings).expect("a request");
        serde_json::from_str(&request).expect("a request is JSON")
    }

    #[test]
    fn whole_configuration_is_sent() {
        let config = json!({ "model": "m", "system_prompt": "Be brief.", "temperature": 0.5, "max_tokens": 7 });
        let expected = json!({
            "model": "m",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "I am Zoë." },
                { "role": "assistant", "content": "Hello!" },
                { "role": "user", "content": "Who am I?" },
            ],
            "temperature": 0.5,
            "max_tokens": 7,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        assert_eq!(request(config, Some("http://127.0.0.1:1/v1")), expected);
    }

    #[test]
    fn unset_parameters_are_not_sent() {
        let request = request(json!({ "model": "m" }), None);
        let names: Vec<_> = request.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(names, ["messages", "model", "stream", "stream_options"]);
        assert_eq!(request["messages"].as_array().map(Vec::len), Some(3), "no system prompt");
    }

    #[test]
    fn openai_gets_max_completion_tokens() {
        let config = json!({ "model": "m", "max_tokens": 7 });
        for base_url in [None, Some("https://api.openai.com/v1")] {
            let request = request(config.clone(), base_url);
            assert_eq!((&request["max_completion_tokens"], &request["max_tokens"]), (&json!(7), &Value::Null));
        }
    }

    #[test]
    fn request_without_a_model_is_rejected() {
        let conversation = Conversation { turns: Vec::new(), config: crate::domain::chat::ChatConfig::default() };
        assert_eq!(ChatCompletion::json(conversation, &OpenAiSettings::default()), Err(Failure::Rejected));
    }
}
