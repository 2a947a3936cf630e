//! The template parameters of a start.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::{agent::Agent, local_model, options::Options};

/// The address of OpenAI. The template takes the agent openai for configured if it has an address.
const OPENAI_URL: &str = "https://api.openai.com/v1";

/// The template parameters: those of `--parameter`, and those that the agent's flags set. `has_openai_key` says whether the
/// developer's shell has a key.
///
/// # Errors
///
/// When flags contradict each other, or one is missing.
pub(super) fn template_parameters(options: &Options, has_openai_key: bool) -> Result<BTreeMap<String, String>> {
    let mut parameters: BTreeMap<String, String> = options.parameter.iter().cloned().collect();
    let Options { agent, openai_base_url, model, .. } = options;
    let is_openai = *agent == Some(Agent::OpenAi);
    if !is_openai && (openai_base_url.is_some() || model.is_some()) {
        bail!("--openai-base-url and --model require --agent openai");
    }
    if is_openai && model.is_none() && !parameters.contains_key("OpenAiModel") {
        bail!("--agent openai needs a model: pass --model NAME");
    }
    let needs_openai = is_openai && openai_base_url.is_none() && !parameters.contains_key("OpenAiBaseUrl");
    if needs_openai && !has_openai_key {
        bail!("--agent openai needs a key in OPENAI_API_KEY, or --openai-base-url URL");
    }
    let local_model = (*agent == Some(Agent::LocalLlm)).then_some(local_model::NAME);
    let flags = [
        ("DefaultAgent", agent.map(Agent::name)),
        ("OpenAiBaseUrl", openai_base_url.as_deref().or(needs_openai.then_some(OPENAI_URL))),
        ("OpenAiModel", model.as_deref().or(local_model)),
    ];
    for (name, value) in flags {
        let Some(value) = value else { continue };
        if parameters.insert(name.to_owned(), value.to_owned()).is_some_and(|other| other != value) {
            bail!("--parameter {name}=… contradicts a flag: leave one of them out");
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
        read_with_key(arguments, false)
    }

    fn read_with_key(arguments: &[&str], has_key: bool) -> Result<BTreeMap<String, String>> {
        template_parameters(&Cli::try_parse_from([&["dev"], arguments].concat())?.options, has_key)
    }

    #[test]
    fn openai_itself_needs_a_key() {
        let arguments = ["--agent", "openai", "--model", "m"];
        assert!(read_with_key(&arguments, false).is_err());
        assert_eq!(read_with_key(&arguments, true).expect("three")["OpenAiBaseUrl"], OPENAI_URL);
        let url = ["--parameter", "OpenAiBaseUrl=http://x/v1"];
        assert_eq!(read(&[&arguments[..], &url].concat()).expect("three")["OpenAiBaseUrl"], "http://x/v1");
    }

    #[test]
    fn without_flags_the_template_decides() {
        assert!(read(&[]).expect("no parameters").is_empty());
        assert_eq!(read(&["--agent", "echo"]).expect("one")["DefaultAgent"], "echo");
    }

    #[test]
    fn flags_set_template_parameters() {
        let url = "http://127.0.0.1:8080/v1";
        let parameters = read(&["--agent", "openai", "--openai-base-url", url, "--model", "m", "--parameter", "A=b"]);
        let expected = [("A", "b"), ("DefaultAgent", "openai"), ("OpenAiBaseUrl", url), ("OpenAiModel", "m")];
        assert_eq!(parameters.expect("four"), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let parameters = read(&["--agent", "local-llm"]).expect("two");
        assert_eq!((&*parameters["DefaultAgent"], &*parameters["OpenAiModel"]), ("openai", local_model::NAME));
    }

    #[test]
    fn contradicting_flags_are_refused() {
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
