//! Who answers by default in the local stack: the flags, and what they mean to the template.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::model;
use super::options::Options;

/// The agents that work on a laptop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Agent {
    /// Says again what it is told; needs nothing
    Echo,
    /// A model behind an OpenAI-compatible endpoint
    #[value(name = "openai")]
    OpenAi,
    /// A small real model on this machine, which is fetched once (127 MB)
    LocalLlm,
}

impl Agent {
    /// What the functions call it.
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::OpenAi | Self::LocalLlm => "openai",
        }
    }
}

/// The parameters of the template: those that were given, and what the agent's flags stand for.
///
/// # Errors
///
/// When flags contradict each other, or something is missing.
pub(super) fn parameters(options: &Options) -> Result<BTreeMap<String, String>> {
    let mut parameters: BTreeMap<String, String> = options.parameter.iter().cloned().collect();
    let Options { agent, openai_base_url, model, .. } = options;
    let is_openai = *agent == Some(Agent::OpenAi);
    if !is_openai && (openai_base_url.is_some() || model.is_some()) {
        bail!("--openai-base-url and --model go with --agent openai");
    }
    if is_openai && model.is_none() && !parameters.contains_key("OpenAiModel") {
        bail!("--agent openai needs a model; grant --model NAME");
    }
    let own_model = (*agent == Some(Agent::LocalLlm)).then_some(model::NAME);
    let flags = [
        ("DefaultAgent", agent.map(Agent::name)),
        ("OpenAiBaseUrl", openai_base_url.as_deref()),
        ("OpenAiModel", model.as_deref().or(own_model)),
    ];
    for (name, value) in flags {
        let Some(value) = value else { continue };
        if parameters.insert(name.to_owned(), value.to_owned()).is_some_and(|given| given != value) {
            bail!("--parameter {name}=… contradicts a flag; leave one of them out");
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn read(arguments: &[&str]) -> Result<BTreeMap<String, String>> {
        parameters(&Cli::try_parse_from([&["dev"], arguments].concat())?.options)
    }

    #[test]
    fn nothing_said_is_the_templates_choice() {
        assert!(read(&[]).expect("no parameters").is_empty());
        assert_eq!(read(&["--agent", "echo"]).expect("one")["DefaultAgent"], "echo");
    }

    #[test]
    fn flags_become_parameters() {
        let url = "http://127.0.0.1:8080/v1";
        let parameters = read(&["--agent", "openai", "--openai-base-url", url, "--model", "m", "--parameter", "A=b"]);
        let expected = [("A", "b"), ("DefaultAgent", "openai"), ("OpenAiBaseUrl", url), ("OpenAiModel", "m")];
        assert_eq!(parameters.expect("four"), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let parameters = read(&["--agent", "local-llm"]).expect("two");
        assert_eq!((&*parameters["DefaultAgent"], &*parameters["OpenAiModel"]), ("openai", model::NAME));
    }

    #[test]
    fn contradictions_are_refused() {
        for arguments in [
            &["--agent", "openai"][..],
            &["--model", "m"],
            &["--agent", "echo", "--openai-base-url", "http://x/v1"],
            &["--agent", "local-llm", "--model", "m"],
            &["--agent", "echo", "--parameter", "DefaultAgent=openai"],
            &["--agent", "bedrock"],
        ] {
            assert!(read(arguments).is_err(), "{arguments:?}");
        }
    }
}
