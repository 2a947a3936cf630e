//! The agents and models that chats may use, as several functions read them.

use super::{
    environment::Environment,
    variables::{
        ALLOWED_AGENTS, ALLOWED_MODELS, BEDROCK_MODEL, CONFIGURED_AGENTS, DEFAULT_AGENT, MAX_TOKENS, OPENAI_MODEL,
    },
};
use crate::domain::{
    agent_name::AgentName,
    allowed_models::{AllowedModels, ModelPatterns, parse_agents},
    chat::{MaxTokens, ModelName},
    input::Field,
};

/// Reads what chats may use.
pub(super) fn read(environment: &mut Environment) -> Option<AllowedModels> {
    let default_agent = environment.required(&DEFAULT_AGENT, AgentName::parse);
    let configured = environment.required(&CONFIGURED_AGENTS, parse_agents);
    let agents = environment.optional(&ALLOWED_AGENTS, parse_agents);
    let openai_model = environment.optional(&OPENAI_MODEL, model_name);
    let bedrock_model = environment.optional(&BEDROCK_MODEL, model_name);
    let models = environment.optional(&ALLOWED_MODELS, ModelPatterns::parse);
    let max_tokens = environment.required(&MAX_TOKENS, max_tokens);
    Some(AllowedModels {
        default_agent: default_agent?,
        configured: configured?,
        agents: agents?,
        openai_model: openai_model?,
        bedrock_model: bedrock_model?,
        models: models?.unwrap_or_default(),
        max_tokens: max_tokens?,
    })
}

fn model_name(text: &str) -> Option<ModelName> {
    ModelName::read(&text.into())
}

fn max_tokens(text: &str) -> Option<MaxTokens> {
    MaxTokens::read(&text.parse::<u32>().ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> Option<AllowedModels> {
        let complete = [("DEFAULT_AGENT", "echo"), ("CONFIGURED_AGENTS", "echo,openai"), ("MAX_TOKENS", "4096")];
        let rest = complete.into_iter().filter(|(known, _)| *known != name);
        read(&mut rest.chain([(name, value)]).collect())
    }

    #[test]
    fn lists_may_be_left_out() {
        let allowed = with("ALLOWED_MODELS", "").expect("nothing is missing");
        assert_eq!((allowed.agents, allowed.models), (None, ModelPatterns::default()));
        assert_eq!(allowed.configured, [AgentName::Echo, AgentName::OpenAi]);
        assert!(with("CONFIGURED_AGENTS", "").is_none());
    }

    #[test]
    fn invalid_lists_and_limits_are_refused() {
        for (name, bad) in [
            ("CONFIGURED_AGENTS", "echo,gemini"),
            ("ALLOWED_AGENTS", "echo;openai"),
            ("ALLOWED_MODELS", "gpt-*-mini"),
            ("MAX_TOKENS", "0"),
            ("MAX_TOKENS", "100001"),
            ("MAX_TOKENS", "many"),
        ] {
            assert!(with(name, bad).is_none(), "{name}={bad}");
        }
    }
}
