//! Parameters of the template.

use serde_json::Value;

use super::{ROOT, unresolved_template};

#[test]
fn every_parameter_has_a_default_and_is_documented() {
    let template = unresolved_template();
    let pages = std::fs::read_dir(format!("{ROOT}/docs")).expect("there are documents");
    let pages = pages.map(|page| page.expect("readable").path()).filter(|page| page.extension() == Some("md".as_ref()));
    let pages: String = pages.map(|page| std::fs::read_to_string(page).expect("text")).collect();
    for (name, parameter) in template["Parameters"].as_object().expect("parameters") {
        assert!(parameter.get("Default").is_some(), "{name} has no default");
        assert!(parameter.get("Description").is_some_and(Value::is_string), "{name} has no description");
        assert!(pages.contains(&format!("`{name}`")), "no page in docs/ mentions {name}");
    }
}
