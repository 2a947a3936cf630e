//! The environment of the functions.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use gateway::template::Function;
use tokio::process::Command;

use super::ready::WEBSOCKET_PATH;
use crate::process::PRIVATE;

/// The region that the local stack plays. DynamoDB Local does not care.
pub(crate) const REGION: &str = "us-east-1";
/// DynamoDB Local takes any key of letters and digits.
pub(crate) const ACCESS_KEY: &str = "local";
/// As [`ACCESS_KEY`].
pub(crate) const SECRET_KEY: &str = "local";

/// The variable that says where sockets are posted to.
pub(super) const MANAGEMENT_ENDPOINT: &str = "MANAGEMENT_ENDPOINT";
/// The variable that says where the agent openai asks.
const BASE_URL: &str = "OPENAI_BASE_URL";
/// The variable that holds its key, in the developer's shell as in a function.
const KEY: &str = PRIVATE;

/// Environment variables by name.
pub(super) type Environment = BTreeMap<String, String>;

/// What every function gets here that AWS gives it there. `gateway` is the address that the gateway listens on.
///
/// `model` is the address of a model that runs here, if one does: it is the one to ask, and needs no key.
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
        // A process is never frozen here, so it need not hold its next call back until its work is done.
        ("AFTER_RESPONSE", "detached"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // Whatever profile the developer has is none of the functions' business.
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    let model = model.map(|address| [(BASE_URL, address), (KEY, "")]).into_iter().flatten();
    variables.into_iter().chain(model).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What one function gets: the template's variables, then those of this stack.
pub(super) fn of_function(function: &Function, local: &Environment) -> Environment {
    let mut environment = function.environment.clone();
    environment.extend(local.clone());
    environment
}

/// What all functions get where they must share one environment.
///
/// # Errors
///
/// When the template gives a variable two values, and the stack none of its own.
pub(super) fn of_all(functions: &[Function], local: &Environment) -> Result<Environment> {
    let mut union: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for function in functions {
        for (name, value) in function.environment.iter().filter(|(name, _)| !local.contains_key(*name)) {
            let (first, other) = *union.entry(name).or_insert((&function.name, value));
            if other != value {
                bail!(
                    "{name} is {other:?} for {first} and {value:?} for {}, but with hot reload all functions share one \
                     environment; give it one value in the template, or grant --no-reload",
                    function.name
                );
            }
        }
    }
    let mut environment = local.clone();
    environment.extend(union.into_iter().map(|(name, (_, value))| (name.to_owned(), value.to_owned())));
    Ok(environment)
}

/// The environment in the form that `--env-file` takes.
///
/// # Errors
///
/// When a value cannot be written in that form.
pub(super) fn file(environment: &Environment) -> Result<String> {
    environment
        .iter()
        .map(|(name, value)| match quoted(value) {
            Some(value) => Ok(format!("{name}={value}\n")),
            None => bail!("hot reload cannot hand on the value of {name}, for its quotes; grant --no-reload"),
        })
        .collect()
}

/// Single quotes keep everything as it is, but there is no way to write one between them. Between double quotes,
/// escapes do not come back as what they were.
fn quoted(value: &str) -> Option<String> {
    if !value.contains('\'') {
        Some(format!("'{value}'"))
    } else if !value.contains(['"', '\\', '$']) {
        Some(format!("\"{value}\""))
    } else {
        None
    }
}

/// Hands the developer's key for the agent openai to a command whose environment has use for it. It goes from process
/// to process alone, and so is in no file and no log.
pub(super) fn give_key(command: &mut Command, environment: &Environment) {
    give(command, KEY, environment);
}

fn give(command: &mut Command, key: &str, environment: &Environment) {
    if let Some(value) = std::env::var_os(key)
        && environment.contains_key(BASE_URL)
        && !environment.contains_key(key)
    {
        command.env(key, value);
    }
}

/// Takes out of a command's environment what the developer's shell knows about AWS: a profile, say, would send the
/// functions looking for an account.
pub(super) fn forget_aws(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AWS_")) {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gateway::template::Template;

    use super::*;

    /// Two functions with a variable each.
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
    fn the_union_has_the_variables_of_all() {
        let functions = functions("A: one", "B: two, A: one");
        let union = of_all(&functions, &local("http://d", "m", None)).expect("no conflict");
        assert_eq!((union["A"].as_str(), union["B"].as_str()), ("one", "two"));
        assert_eq!(union["AWS_ENDPOINT_URL_DYNAMODB"], "http://d");
    }

    #[test]
    fn only_what_asks_with_it_gets_the_key() {
        // Cargo sets this one for every test, as a shell would set the key.
        let given = |environment: &Environment| {
            let mut command = Command::new("true");
            give(&mut command, "CARGO_PKG_NAME", environment);
            command.as_std().get_envs().count() == 1
        };
        let mut asking = Environment::from([(BASE_URL.to_owned(), String::new())]);
        assert!(given(&asking) && !given(&Environment::new()));
        asking.insert("CARGO_PKG_NAME".to_owned(), String::new());
        assert!(!given(&asking), "what is set already stays");
        let local = local("http://d", "m", Some("http://127.0.0.1:1/v1"));
        assert_eq!(local[KEY], "", "a model of this machine needs none");
    }

    #[test]
    fn a_conflict_names_both_functions() {
        let error = of_all(&functions("A: one", "A: two"), &Environment::new()).expect_err("a conflict").to_string();
        assert!(error.starts_with(r#"A is "one" for alpha and "two" for beta"#), "{error}");
    }

    #[test]
    fn what_the_stack_sets_is_never_a_conflict() {
        let functions = functions("MANAGEMENT_ENDPOINT: one", "MANAGEMENT_ENDPOINT: two");
        let local = local("http://d", "m", None);
        assert_eq!(of_all(&functions, &local).expect("no conflict")["MANAGEMENT_ENDPOINT"], "http://m");
        assert_eq!(of_function(&functions[0], &local)["MANAGEMENT_ENDPOINT"], "http://m");
    }

    #[test]
    fn values_are_quoted_for_the_file() {
        let environment = |value: &str| Environment::from([("A".to_owned(), value.to_owned())]);
        assert_eq!(file(&environment(r#"{"a": "$B\n"}"#)).expect("written"), "A='{\"a\": \"$B\\n\"}'\n");
        assert_eq!(file(&environment("it's")).expect("written"), "A=\"it's\"\n");
        assert!(file(&environment("it's $5")).is_err());
    }
}
