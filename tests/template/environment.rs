//! The environment of the functions, held against what their code reads of it.

use std::collections::{BTreeMap, BTreeSet};

use super::{ROOT, template};

/// What every function has: `telemetry` reads it for all of them.
const EVERYWHERE: [&str; 2] = ["LOG_LEVEL", "STACK_NAME"];
/// What only a laptop sets.
const LOCAL: [&str; 2] = ["AFTER_RESPONSE", "OPENAI_API_KEY"];

/// The variables that each method of `Config` reads, by the method's name: the constants in capitals in its body.
fn read_by_methods() -> BTreeMap<String, BTreeSet<String>> {
    let source = read("shared/src/config.rs");
    let (source, _) = source.split_once("#[cfg(test)]").expect("the tests come last");
    let methods = source.split("pub fn ").skip(1).map(|method| {
        let name = method.split('(').next().unwrap_or_default().to_owned();
        let constants = method.split('"').skip(1).step_by(2);
        let is_name = |text: &&str| text.len() > 2 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        (name, constants.filter(is_name).map(str::to_owned).collect())
    });
    methods.collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_function_has_the_variables_that_its_code_reads_and_no_other() {
    let methods = read_by_methods();
    assert!(methods["chats_table"].contains("CHATS_TABLE"), "{methods:?}");
    for function in template().functions().expect("functions are readable") {
        let main = read(&format!("functions/{}/src/main.rs", function.name));
        let called = methods.iter().filter(|(name, _)| main.contains(&format!("config.{name}()")));
        let mut needed: BTreeSet<&str> = called.flat_map(|(_, variables)| variables).map(String::as_str).collect();
        needed.retain(|name| !LOCAL.contains(name));
        needed.extend(EVERYWHERE);
        let given: BTreeSet<&str> = function.environment.keys().map(String::as_str).collect();
        assert_eq!(given, needed, "{}", function.name);
    }
}
