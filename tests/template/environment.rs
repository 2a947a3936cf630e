//! The environment of each function, compared with the variables that its configuration reads.

use std::collections::BTreeSet;

use shared::runtime::config::{
    FUNCTIONS, RuntimeConfig,
    variables::{SetBy, Variable},
};

use super::{template, template_with};

fn names_set_by_template(variables: Vec<&'static Variable>) -> impl Iterator<Item = &'static str> {
    variables.into_iter().filter(|variable| variable.set_by == SetBy::Template).map(|variable| variable.name)
}

#[test]
fn every_function_of_the_template_has_a_configuration() {
    let deployed: BTreeSet<String> =
        template().functions().expect("functions are readable").into_iter().map(|function| function.name).collect();
    let configured: BTreeSet<String> = FUNCTIONS.iter().map(|listed| listed.function.to_owned()).collect();
    assert_eq!(deployed, configured);
}

#[test]
fn every_function_has_the_variables_that_it_reads_and_no_others() {
    for function in template().functions().expect("functions are readable") {
        let listed = FUNCTIONS.iter().find(|listed| listed.function == function.name);
        let own = listed.map(|listed| (listed.variables)()).unwrap_or_default();
        let read: BTreeSet<&str> =
            names_set_by_template(own).chain(names_set_by_template(RuntimeConfig::variables())).collect();
        let given: BTreeSet<&str> = function.environment.keys().map(String::as_str).collect();
        assert_eq!(given, read, "the variables of {}", function.name);
    }
}

#[test]
fn configured_agents_follow_from_the_parameters() {
    for (parameters, configured) in [
        (&[][..], "echo"),
        (&[("OpenAiModel", "m")], "echo"),
        (&[("OpenAiSecretName", "s")], "echo,openai"),
        (&[("OpenAiBaseUrl", "http://127.0.0.1/v1"), ("BedrockModel", "m")], "echo,openai,bedrock"),
        (&[("BedrockModelArns", "arn:aws:bedrock:us-east-1::foundation-model/m")], "echo"),
    ] {
        let functions = template_with(parameters).functions().expect("functions are readable");
        let read: BTreeSet<_> = functions.iter().filter_map(|f| f.environment.get("CONFIGURED_AGENTS")).collect();
        assert_eq!(read, [&configured.to_owned()].into(), "{parameters:?}");
    }
}
