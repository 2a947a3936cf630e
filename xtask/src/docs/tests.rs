//! The checked-in documents match the types, and their examples match their schemas.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use shared::{domain::error::Code, rest::ROUTES};

use super::{codes, document::Document, examples};
use crate::workspace;

fn assert_up_to_date(document: Document) {
    let text = fs::read_to_string(workspace::path(document.file())).unwrap_or_default();
    assert!(
        text == document.text(),
        "{} differs from the types; run `cargo xtask docs` and review the difference",
        document.file()
    );
}

#[test]
fn the_openapi_document_is_up_to_date() {
    assert_up_to_date(Document::OpenApi);
}

#[test]
fn the_asyncapi_document_is_up_to_date() {
    assert_up_to_date(Document::AsyncApi);
}

#[test]
fn document_describes_exactly_the_routes() {
    let document = Document::OpenApi.generate();
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
fn every_error_code_is_listed_once_under_its_wire_name() {
    let mut schemas = super::schemas::Schemas::new();
    schemas.sent::<Code>();
    let schemas = schemas.finish();
    let named: Vec<&str> =
        schemas["Code"]["oneOf"].as_array().expect("codes").iter().filter_map(|code| code["const"].as_str()).collect();
    assert_eq!(named, Code::ALL.map(Code::as_str));
}

#[test]
fn every_error_code_has_an_example() {
    for code in Code::ALL {
        let error = &examples::error_response(code)["error"];
        assert_eq!(error["code"], code.as_str());
        assert_ne!(error["message"], "", "{code:?} has no example");
    }
}

#[test]
fn every_body_has_examples_that_match_its_schema() {
    let document = Document::OpenApi.generate();
    let mut bodies = Vec::new();
    collect(&document, "application/json", &mut bodies);
    assert!(bodies.len() > 40, "{}", bodies.len());
    for body in bodies {
        let examples = body["examples"].as_object().expect("examples");
        assert!(!examples.is_empty());
        for (name, example) in examples {
            assert_valid(&document, &body["schema"], &example["value"], name);
        }
    }
}

#[test]
fn every_message_has_examples_that_match_its_schema() {
    let document = Document::AsyncApi.generate();
    let messages = document["components"]["messages"].as_object().expect("messages");
    let mut kinds = BTreeSet::new();
    for (name, message) in messages {
        let examples = message["examples"].as_array().expect("examples");
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            assert_valid(&document, &message["payload"], &example["payload"], name);
        }
        kinds.insert(message["name"].as_str().expect("a name"));
    }
    let is_event = |code: &Code| codes::places(*code).event;
    assert_eq!(
        messages["ErrorEvent"]["examples"].as_array().map(Vec::len),
        Some(Code::ALL.iter().filter(|code| is_event(code)).count())
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

fn assert_valid(document: &Value, schema: &Value, example: &Value, name: &str) {
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(example).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "the example {name} does not match its schema: {example}: {errors:#?}");
}

#[test]
fn api_page_names_every_code_operation_and_message() {
    let page = fs::read_to_string(workspace::path("docs/API.md")).expect("docs/API.md is there");
    let (rest, websocket) = (Document::OpenApi.generate(), Document::AsyncApi.generate());
    let mut names: Vec<String> = Code::ALL.map(|code| format!("`{}`", code.as_str())).to_vec();
    for (path, methods) in rest["paths"].as_object().expect("paths") {
        names.extend(
            methods.as_object().expect("methods").keys().map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    let messages = websocket["components"]["messages"].as_object().expect("messages");
    names.extend(messages.values().map(|message| format!("`{}`", message["name"].as_str().expect("a name"))));
    let missing: Vec<String> = names.into_iter().filter(|name| !page.contains(name)).collect();
    assert!(missing.is_empty(), "docs/API.md does not mention {missing:?}");
}
