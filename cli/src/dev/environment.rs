//! The environment of the functions.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use gateway::template::Function;
use tokio::process::Command;

use super::ready::WEBSOCKET_PATH;
use crate::{
    local_aws::{ACCESS_KEY, REGION, SECRET_KEY},
    process::OPENAI_API_KEY,
};

/// The variable with the address of the management API.
pub(super) const MANAGEMENT_ENDPOINT: &str = "MANAGEMENT_ENDPOINT";
/// The variable that says whether a process takes its next event while it works after a response.
pub(super) const AFTER_RESPONSE: &str = "AFTER_RESPONSE";
/// The variable with the base URL of the agent openai.
const OPENAI_BASE_URL: &str = "OPENAI_BASE_URL";

/// The variable with the agents that this stack configures.
const CONFIGURED_AGENTS: &str = "CONFIGURED_AGENTS";

/// Environment variables by name.
pub(super) type Environment = BTreeMap<String, String>;

/// The variables that all functions get from this stack, and on AWS from Lambda. `gateway` is the address of the gateway.
///
/// `model` is the base URL of a local model, which needs no key.
pub(super) fn local(dynamodb_endpoint: &str, gateway: &str, model: Option<&str>) -> Environment {
    let management_endpoint = format!("http://{gateway}");
    let websocket_url = format!("ws://{gateway}{WEBSOCKET_PATH}");
    let variables = [
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_endpoint),
        (MANAGEMENT_ENDPOINT, &management_endpoint),
        ("WEBSOCKET_URL", &websocket_url),
        // Processes are never frozen here, so the next invocation need not wait for work after the response.
        (AFTER_RESPONSE, "detached"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // The functions must not use the developer's profile.
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    // The template does not know the address of a local model, and therefore not that it configures the agent.
    let model = model.map(|url| [(OPENAI_BASE_URL, url), (OPENAI_API_KEY, ""), (CONFIGURED_AGENTS, "echo,openai")]);
    let model = model.into_iter().flatten();
    variables.into_iter().chain(model).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The environment of one function: the template's variables, overridden by those of this stack.
pub(super) fn of_function(function: &Function, local: &Environment) -> Environment {
    let mut environment = function.environment.clone();
    environment.extend(local.clone());
    environment
}

/// The environment that all functions share with hot reload.
///
/// # Errors
///
/// When the template gives a variable different values, and the stack does not override it.
pub(super) fn of_all(functions: &[Function], local: &Environment) -> Result<Environment> {
    let mut union: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for function in functions {
        for (name, value) in function.environment.iter().filter(|(name, _)| !local.contains_key(*name)) {
            let (first, other) = *union.entry(name).or_insert((&function.name, value));
            if other != value {
                bail!(
                    "{name} is {other:?} for {first} and {value:?} for {}, but with hot reload all functions share one \
                     environment: give it one value in the template, or pass --no-reload",
                    function.name
                );
            }
        }
    }
    let mut environment = local.clone();
    environment.extend(union.into_iter().map(|(name, (_, value))| (name.to_owned(), value.to_owned())));
    Ok(environment)
}

/// The environment in the format of `--env-file`.
///
/// # Errors
///
/// When a value cannot be quoted in that format.
pub(super) fn file(environment: &Environment) -> Result<String> {
    environment
        .iter()
        .map(|(name, value)| match quoted(value) {
            Some(value) => Ok(format!("{name}={value}\n")),
            None => bail!("hot reload cannot quote the value of {name}: pass --no-reload"),
        })
        .collect()
}

/// Single quotes preserve everything but a single quote, which cannot be escaped. Double quotes do not preserve
/// backslashes and `$`.
fn quoted(value: &str) -> Option<String> {
    if !value.contains('\'') {
        Some(format!("'{value}'"))
    } else if !value.contains(['"', '\\', '$']) {
        Some(format!("\"{value}\""))
    } else {
        None
    }
}

/// Adds the developer's key for the agent openai to a command that needs it. The key is passed only between processes,
/// so no file or log contains it.
pub(super) fn add_openai_key(command: &mut Command, environment: &Environment) {
    add_key(command, OPENAI_API_KEY, environment);
}

fn add_key(command: &mut Command, key: &str, environment: &Environment) {
    if let Some(value) = std::env::var_os(key)
        && environment.contains_key(OPENAI_BASE_URL)
        && !environment.contains_key(key)
    {
        command.env(key, value);
    }
}

/// Removes the AWS variables of the developer's shell from a command: with a profile, for instance, the functions would
/// use an account on AWS.
pub(super) fn remove_aws_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AWS_")) {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gateway::template::Template;

    use super::*;

    /// Two functions with the given variables.
    fn functions(first: &str, second: &str) -> Vec<Function> {
        let function = |name: &str, variable: &str| {
            format!(
                "  {name}:\n    Type: AWS::Serverless::Function\n    Metadata: {{ BuildProperties: {{ Binary: {name} }} }}\n    \
                 Properties: {{ Environment: {{ Variables: {{ {variable} }} }} }}\n"
            )
        };
        let yaml = format!("Resources:\n{}{}", function("alpha", first), function("beta", second));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("template.yaml");
        std::fs::write(&path, yaml).expect("written");
        Template::load(Path::new(&path), &BTreeMap::new()).and_then(|t| t.functions()).expect("a template")
    }

    #[test]
    fn shared_environment_has_the_variables_of_all_functions() {
        let functions = functions("A: one", "B: two, A: one");
        let union = of_all(&functions, &local("http://d", "m", None)).expect("no conflict");
        assert_eq!((union["A"].as_str(), union["B"].as_str()), ("one", "two"));
        assert_eq!(union["AWS_ENDPOINT_URL_DYNAMODB"], "http://d");
    }

    #[test]
    fn only_functions_with_a_base_url_get_the_key() {
        // Cargo sets this variable for every test, as a shell would set the key.
        let is_added = |environment: &Environment| {
            let mut command = Command::new("true");
            add_key(&mut command, "CARGO_PKG_NAME", environment);
            command.as_std().get_envs().count() == 1
        };
        let mut environment = Environment::from([(OPENAI_BASE_URL.to_owned(), String::new())]);
        assert!(is_added(&environment) && !is_added(&Environment::new()));
        environment.insert("CARGO_PKG_NAME".to_owned(), String::new());
        assert!(!is_added(&environment), "a variable of the template is not overridden");
        let local = local("http://d", "m", Some("http://127.0.0.1:1/v1"));
        assert_eq!(local[OPENAI_API_KEY], "", "a local model needs no key");
        assert_eq!(local[CONFIGURED_AGENTS], "echo,openai");
    }

    #[test]
    fn conflicting_values_name_both_functions() {
        let error = of_all(&functions("A: one", "A: two"), &Environment::new()).expect_err("a conflict").to_string();
        assert!(error.starts_with(r#"A is "one" for alpha and "two" for beta"#), "{error}");
    }

    #[test]
    fn variables_of_the_stack_never_conflict() {
        let functions = functions("MANAGEMENT_ENDPOINT: one", "MANAGEMENT_ENDPOINT: two");
        let local = local("http://d", "m", None);
        assert_eq!(of_all(&functions, &local).expect("no conflict")["MANAGEMENT_ENDPOINT"], "http://m");
        assert_eq!(of_function(&functions[0], &local)["MANAGEMENT_ENDPOINT"], "http://m");
    }

    #[test]
    fn values_are_quoted_in_the_file() {
        let environment = |value: &str| Environment::from([("A".to_owned(), value.to_owned())]);
        assert_eq!(file(&environment(r#"{"a": "$B\n"}"#)).expect("written"), "A='{\"a\": \"$B\\n\"}'\n");
        assert_eq!(file(&environment("it's")).expect("written"), "A=\"it's\"\n");
        assert!(file(&environment("it's $5")).is_err());
    }
}
