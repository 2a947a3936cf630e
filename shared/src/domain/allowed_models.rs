//! Which agents and models chats may use, and how many tokens an answer may have: the bounds of the bill.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    agent_name::AgentName,
    chat::{ChatConfig, MaxTokens, ModelName},
    echo_pace,
    error::ApiError,
    input::Field,
};

/// What chats may use. A chat is checked when it is created, when its configuration changes, and before its agent is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowedModels {
    /// The agent of chats that name none.
    pub default_agent: AgentName,
    /// The agents that the deployment configures.
    pub configured: Vec<AgentName>,
    /// Those of them that may be used; `None` for all.
    pub agents: Option<Vec<AgentName>>,
    /// The model of the agent `openai` in chats that name none.
    pub openai_model: Option<ModelName>,
    /// The model of the agent `bedrock` in chats that name none.
    pub bedrock_model: Option<ModelName>,
    /// The models that may be used beside the two above. The names of the agent `echo` are no models: all are allowed.
    pub models: ModelPatterns,
    /// The most tokens of an answer.
    pub max_tokens: MaxTokens,
}

/// What a tenant's chats may use of what the deployment allows. `None` is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantModels {
    /// The agents.
    pub agents: Option<Vec<AgentName>>,
    /// The models, except those of the agent `echo`.
    pub models: Option<ModelPatterns>,
}

/// Names of models, and prefixes of names that end in `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelPatterns(Vec<String>);

/// Parses names of agents, separated by commas. `None` if one is unknown.
#[must_use]
pub fn parse_agents(list: &str) -> Option<Vec<AgentName>> {
    list.split(',').map(|name| AgentName::parse(name.trim())).collect()
}

impl ModelPatterns {
    /// Parses patterns, separated by commas. `None` if one is blank or longer than a name, or has a `*` before its end.
    #[must_use]
    pub fn parse(list: &str) -> Option<Self> {
        let pattern = |text: &str| {
            let (text, is_name) = (text.trim(), |text: &str| ModelName::read(&text.into()).is_some());
            let name = text.strip_suffix('*').unwrap_or(text);
            (is_name(text) && !name.contains('*')).then(|| text.to_owned())
        };
        list.split(',').map(pattern).collect::<Option<_>>().map(Self)
    }

    /// The patterns as text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a pattern matches the name.
    #[must_use]
    pub fn matches(&self, model: &ModelName) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => model.as_str().starts_with(prefix),
            None => model.as_str() == pattern,
        })
    }
}

impl AllowedModels {
    /// The agent that a chat with this configuration uses.
    #[must_use]
    pub fn agent(&self, config: &ChatConfig) -> AgentName {
        config.agent.unwrap_or(self.default_agent)
    }

    /// Checks agent and model of a chat that is created or changed.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` with the field `config.agent` or `config.model`.
    pub fn check_new(&self, config: &ChatConfig, tenant: &TenantModels) -> Result<(), ApiError> {
        self.check(config, tenant)?;
        let model = config.model.as_ref().filter(|model| echo_pace::is_too_slow(model));
        match model {
            Some(model) if self.agent(config) == AgentName::Echo => {
                Err(ApiError::invalid_parameter("config.model", &model.as_str().into(), echo_pace::ALLOWED))
            }
            _ => Ok(()),
        }
    }

    /// Checks agent and model of a stored chat, whose pace of the agent `echo` is raised when it runs.
    ///
    /// # Errors
    ///
    /// As [`check_new`](Self::check_new).
    pub fn check(&self, config: &ChatConfig, tenant: &TenantModels) -> Result<(), ApiError> {
        let agent = self.agent(config);
        if !self.allows_agent(agent, tenant) {
            let allowed = [AgentName::Echo, AgentName::OpenAi, AgentName::Bedrock].into_iter();
            let allowed = allowed.filter(|agent| self.allows_agent(*agent, tenant)).map(AgentName::as_str);
            return Err(ApiError::invalid_parameter("config.agent", &agent.as_str().into(), &one_of(allowed)));
        }
        let model = config.model.as_ref().or(self.default_model(agent));
        if agent == AgentName::Echo || model.is_some_and(|model| self.allows_model(agent, model, tenant)) {
            return Ok(());
        }
        let got = model.map_or(Value::Null, |model| model.as_str().into());
        Err(ApiError::invalid_parameter("config.model", &got, &self.allowed_models(agent, tenant)))
    }

    /// Checks a limit of tokens that a caller sent.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` with the field `config.max_tokens`.
    pub fn check_max_tokens(&self, requested: Option<MaxTokens>) -> Result<(), ApiError> {
        match requested {
            Some(requested) if requested > self.max_tokens => {
                let allowed = format!("a whole number from 1 to {}", self.max_tokens.get());
                Err(ApiError::invalid_parameter("config.max_tokens", &requested.get().into(), &allowed))
            }
            _ => Ok(()),
        }
    }

    /// The configuration as its agent is given it: with a limit of tokens. The agent `echo` needs none, since it sends no
    /// more than it receives.
    #[must_use]
    pub fn bounded(&self, config: ChatConfig) -> ChatConfig {
        let max_tokens = match config.max_tokens {
            None if self.agent(&config) == AgentName::Echo => None,
            requested => Some(requested.map_or(self.max_tokens, |requested| requested.min(self.max_tokens))),
        };
        ChatConfig { max_tokens, ..config }
    }

    /// The model of an agent in chats that name none.
    #[must_use]
    pub fn default_model(&self, agent: AgentName) -> Option<&ModelName> {
        match agent {
            AgentName::Echo => None,
            AgentName::OpenAi => self.openai_model.as_ref(),
            AgentName::Bedrock => self.bedrock_model.as_ref(),
        }
    }

    fn allows_agent(&self, agent: AgentName, tenant: &TenantModels) -> bool {
        let mut lists = self.agents.iter().chain(&tenant.agents);
        self.configured.contains(&agent) && lists.all(|agents| agents.contains(&agent))
    }

    fn allows_model(&self, agent: AgentName, model: &ModelName, tenant: &TenantModels) -> bool {
        let by_deployment = Some(model) == self.default_model(agent) || self.models.matches(model);
        by_deployment && tenant.models.as_ref().is_none_or(|models| models.matches(model))
    }

    /// The tenant's own list if there is one, since it is the shorter one, without names that the deployment does not allow.
    fn allowed_models(&self, agent: AgentName, tenant: &TenantModels) -> String {
        let default = self.default_model(agent).map(ModelName::as_str);
        match &tenant.models {
            Some(models) => one_of(models.iter().filter(|listed| {
                let name = ModelName::read(&(*listed).into());
                listed.ends_with('*') || name.is_some_and(|name| self.allows_model(agent, &name, tenant))
            })),
            None => one_of(default.into_iter().chain(self.models.iter().filter(|listed| Some(*listed) != default))),
        }
    }
}

/// Completes the sentence "Send `field` as …".
fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    match names.collect::<Vec<_>>()[..] {
        [] => "what the operator of this service allows, which is nothing so far".to_owned(),
        [name] => format!("`{name}`"),
        ref names => format!("one of `{}`", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::error::Code;

    /// A tenant without lists of its own.
    const ALL: TenantModels = TenantModels { agents: None, models: None };

    fn model(name: &str) -> ModelName {
        ModelName::read(&name.into()).expect("a name")
    }

    fn max_tokens(number: u32) -> MaxTokens {
        MaxTokens::read(&number.into()).expect("a limit")
    }

    fn config(config: Value) -> ChatConfig {
        serde_json::from_value(config).expect("a configuration")
    }

    fn named(model: &str) -> ChatConfig {
        config(json!({ "model": model }))
    }

    /// A deployment with all agents, and a list of models.
    fn allowed(models: &str) -> AllowedModels {
        AllowedModels {
            default_agent: AgentName::OpenAi,
            configured: vec![AgentName::Echo, AgentName::OpenAi, AgentName::Bedrock],
            agents: None,
            openai_model: Some(model("gpt-mini")),
            bedrock_model: Some(model("amazon.nova-micro-v1:0")),
            models: if models.is_empty() {
                ModelPatterns::default()
            } else {
                ModelPatterns::parse(models).expect("a list")
            },
            max_tokens: max_tokens(4096),
        }
    }

    /// Field, what was sent, and what is allowed, of a refusal.
    fn refusal(allowed: &AllowedModels, refused: Value) -> (String, Value, String) {
        let error = allowed.check_new(&config(refused), &ALL).expect_err("it is not allowed");
        assert_eq!((error.code(), error.retryable()), (Code::InvalidParameter, false));
        let text = |name| error.detail(name).and_then(Value::as_str).expect("a text").to_owned();
        (text("field"), error.detail("got").cloned().expect("a value"), text("allowed"))
    }

    #[test]
    fn configured_model_of_each_agent_is_allowed_and_no_other() {
        let allowed = allowed("");
        for chat in [json!({}), json!({ "agent": "bedrock" }), json!({ "model": "gpt-mini" })] {
            assert!(allowed.check(&config(chat), &ALL).is_ok());
        }
        assert_eq!(
            refusal(&allowed, json!({ "model": "gpt-large" })),
            ("config.model".to_owned(), "gpt-large".into(), "`gpt-mini`".to_owned())
        );
        let (field, _, _) = refusal(&allowed, json!({ "agent": "bedrock", "model": "gpt-mini" }));
        assert_eq!(field, "config.model", "the model is another agent's");
    }

    #[test]
    fn listed_names_and_prefixes_are_allowed_beside_the_configured_models() {
        let allowed = allowed("gpt-large, anthropic.claude-*");
        for name in ["gpt-mini", "gpt-large", "anthropic.claude-", "anthropic.claude-haiku"] {
            assert!(allowed.check(&named(name), &ALL).is_ok(), "{name}");
        }
        for name in ["gpt-large-2", "gpt-", "GPT-large", "anthropic.claude", "eu.anthropic.claude-haiku", "*"] {
            assert!(allowed.check(&named(name), &ALL).is_err(), "{name}");
        }
        let (_, _, names) = refusal(&allowed, json!({ "model": "x" }));
        assert_eq!(names, "one of `gpt-mini`, `gpt-large`, `anthropic.claude-*`");
    }

    #[test]
    fn tenant_lists_narrow_those_of_the_deployment() {
        let allowed = allowed("gpt-large, gpt-nano");
        let models = ModelPatterns::parse("gpt-n*, other");
        let tenant = TenantModels { agents: Some(vec![AgentName::OpenAi, AgentName::Bedrock]), models };
        assert!(allowed.check(&named("gpt-nano"), &tenant).is_ok());
        for chat in
            [json!({}), json!({ "model": "gpt-large" }), json!({ "model": "other" }), json!({ "agent": "bedrock" })]
        {
            let error = allowed.check(&config(chat), &tenant).expect_err("the model is not on both lists");
            assert_eq!(error.detail("field"), Some(&"config.model".into()));
            assert_eq!(error.detail("allowed"), Some(&"`gpt-n*`".into()));
        }
        let error = allowed.check(&config(json!({ "agent": "echo" })), &tenant).expect_err("the agent is not listed");
        assert_eq!(error.detail("allowed"), Some(&"one of `openai`, `bedrock`".into()));
        let echo = TenantModels { agents: None, ..tenant };
        assert!(allowed.check(&config(json!({ "agent": "echo", "model": "any" })), &echo).is_ok());
    }

    #[test]
    fn star_allows_every_model() {
        let mut any = allowed("*");
        assert!(any.check(&config(json!({ "agent": "bedrock", "model": "x" })), &ALL).is_ok());
        any.openai_model = None;
        let (field, got, _) = refusal(&any, json!({}));
        assert_eq!((field.as_str(), got), ("config.model", Value::Null), "neither chat nor deployment names a model");
        any.models = ModelPatterns::default();
        assert!(refusal(&any, json!({ "model": "m" })).2.ends_with("nothing so far"));
    }

    #[test]
    fn agent_must_be_configured_and_listed() {
        let mut allowed = allowed("*");
        allowed.configured = vec![AgentName::Echo, AgentName::OpenAi];
        assert_eq!(
            refusal(&allowed, json!({ "agent": "bedrock" })),
            ("config.agent".to_owned(), "bedrock".into(), "one of `echo`, `openai`".to_owned())
        );
        allowed.agents = Some(vec![AgentName::Echo, AgentName::Bedrock]);
        let (field, got, names) = refusal(&allowed, json!({}));
        assert_eq!((field.as_str(), got, names.as_str()), ("config.agent", "openai".into(), "`echo`"));
        assert!(allowed.check(&config(json!({ "agent": "echo" })), &ALL).is_ok());
    }

    #[test]
    fn echo_takes_every_name_except_a_pace_below_its_floor() {
        let allowed = allowed("");
        for name in ["echo", "echo@0", "echo@1", "echo@0.0", "echo@20", "echo@x", "any"] {
            assert!(allowed.check_new(&config(json!({ "agent": "echo", "model": name })), &ALL).is_ok(), "{name}");
        }
        for name in ["echo@0.001", "echo@0.999", "echo@1e-300"] {
            let (field, got, _) = refusal(&allowed, json!({ "agent": "echo", "model": name }));
            assert_eq!((field.as_str(), got), ("config.model", name.into()));
            assert!(
                allowed.check(&config(json!({ "agent": "echo", "model": name })), &ALL).is_ok(),
                "a stored one runs"
            );
        }
    }

    #[test]
    fn tokens_above_the_cap_are_refused_with_the_range() {
        let allowed = allowed("");
        assert!(allowed.check_max_tokens(None).is_ok() && allowed.check_max_tokens(Some(max_tokens(4096))).is_ok());
        let error = allowed.check_max_tokens(Some(max_tokens(4097))).expect_err("above the cap");
        assert_eq!(error.code(), Code::InvalidParameter);
        assert_eq!(
            (error.detail("field"), error.detail("got"), error.detail("allowed")),
            (Some(&"config.max_tokens".into()), Some(&4097.into()), Some(&"a whole number from 1 to 4096".into()))
        );
    }

    #[test]
    fn agent_that_calls_a_provider_always_has_a_limit_of_tokens() {
        let allowed = allowed("");
        let tokens = |chat| allowed.bounded(config(chat)).max_tokens.map(MaxTokens::get);
        assert_eq!(tokens(json!({})), Some(4096));
        assert_eq!(tokens(json!({ "agent": "bedrock", "max_tokens": 100_000 })), Some(4096), "stored before the cap");
        assert_eq!(tokens(json!({ "max_tokens": 5 })), Some(5));
        assert_eq!(tokens(json!({ "agent": "echo" })), None);
        assert_eq!(tokens(json!({ "agent": "echo", "max_tokens": 100_000 })), Some(4096));
    }

    #[test]
    fn lists_are_parsed_strictly() {
        assert_eq!(parse_agents("echo, openai"), Some(vec![AgentName::Echo, AgentName::OpenAi]));
        assert_eq!((parse_agents(""), parse_agents("echo,"), parse_agents("gemini")), (None, None, None));
        for bad in ["", ",", "a,,b", "a*b", "**", "*a", &"x".repeat(257)] {
            assert_eq!(ModelPatterns::parse(bad), None, "{bad:?}");
        }
        assert!(ModelPatterns::parse("*").is_some() && ModelPatterns::parse(&"x".repeat(256)).is_some());
    }
}
