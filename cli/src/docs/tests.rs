//! The checked-in documents are what the types say, and their examples are what they describe.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shared::domain::error::Code;
use shared::rest::ROUTES;

use super::{Document, codes, examples};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn checked_in(document: Document, name: &str) {
    let text = fs::read_to_string(docs(name)).unwrap_or_default();
    let command = name.trim_end_matches(".json");
    assert!(
        text == format!("{:#}\n", document.generate()),
        "docs/{name} is not what the types say; look at the difference after `cargo chat docs {command} > docs/{name}`"
    );
}

#[test]
fn the_openapi_document_is_up_to_date() {
    checked_in(Document::Openapi, "openapi.json");
}

#[test]
fn the_asyncapi_document_is_up_to_date() {
    checked_in(Document::Asyncapi, "asyncapi.json");
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = Document::Openapi.generate();
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.keys().map(move |method| format!("{} {}", method.to_uppercase(), path.trim_end_matches('/')))
        })
        .collect();
    let known: BTreeSet<String> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(described, known);
}

#[test]
fn every_code_is_listed_once_under_the_name_that_is_sent() {
    let mut schemas = super::schemas::Schemas::new();
    schemas.sent::<Code>();
    let schemas = schemas.finish();
    let named: Vec<&str> =
        schemas["Code"]["oneOf"].as_array().expect("codes").iter().filter_map(|code| code["const"].as_str()).collect();
    assert_eq!(named, Code::ALL.map(Code::as_str));
}

#[test]
fn errors_are_examples_of_their_code() {
    for code in Code::ALL {
        let error = &examples::error_answer(code)["error"];
        assert_eq!(error["code"], code.as_str());
        assert_ne!(error["message"], "", "{code:?} has no example");
    }
}

/// Validates every object that has a schema beside its examples.
#[test]
fn every_body_has_examples_and_they_hold_to_its_schema() {
    let document = Document::Openapi.generate();
    let mut bodies = Vec::new();
    collect(&document, "application/json", &mut bodies);
    assert!(bodies.len() > 40, "{}", bodies.len());
    for body in bodies {
        let examples = body["examples"].as_object().expect("examples");
        assert!(!examples.is_empty());
        for (name, example) in examples {
            holds(&document, &body["schema"], &example["value"], name);
        }
    }
}

#[test]
fn every_message_has_examples_and_they_hold_to_its_schema() {
    let document = Document::Asyncapi.generate();
    let messages = document["components"]["messages"].as_object().expect("messages");
    let mut kinds = BTreeSet::new();
    for (name, message) in messages {
        let examples = message["examples"].as_array().expect("examples");
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            holds(&document, &message["payload"], &example["payload"], name);
        }
        kinds.insert(message["name"].as_str().expect("a name"));
    }
    let seen = |code: &Code| codes::seen(*code).event;
    assert_eq!(
        messages["ErrorEvent"]["examples"].as_array().map(Vec::len),
        Some(Code::ALL.iter().filter(|code| seen(code)).count())
    );
    assert!(kinds.is_superset(&BTreeSet::from(["message", "message_stream_token", "error"])), "{kinds:?}");
}

fn collect<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == name {
                    found.push(value);
                }
                collect(value, name, found);
            }
        }
        Value::Array(array) => array.iter().for_each(|value| collect(value, name, found)),
        _ => {}
    }
}

fn holds(document: &Value, schema: &Value, example: &Value, name: &str) {
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(example).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "the example {name}, {example}, is none: {errors:#?}");
}

/// The page for people names all that the documents for programs describe.
#[test]
fn the_page_for_people_leaves_nothing_out() {
    let page = fs::read_to_string(docs("API.md")).expect("docs/API.md is there");
    let (rest, websocket) = (Document::Openapi.generate(), Document::Asyncapi.generate());
    let mut names: Vec<String> = Code::ALL.map(|code| format!("`{}`", code.as_str())).to_vec();
    for (path, methods) in rest["paths"].as_object().expect("paths") {
        names.extend(
            methods.as_object().expect("methods").keys().map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    let messages = websocket["components"]["messages"].as_object().expect("messages");
    names.extend(messages.values().map(|message| format!("`{}`", message["name"].as_str().expect("a name"))));
    let missing: Vec<String> = names.into_iter().filter(|name| !page.contains(name)).collect();
    assert!(missing.is_empty(), "docs/API.md says nothing of {missing:?}");
}
