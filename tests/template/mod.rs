//! `template.yaml`, compared with the code, and checked for what must not be deployed.

mod access_logs;
mod alarms;
mod cors;
mod domains;
mod environment;
mod functions;
mod parameters;
mod policies;
mod routes;
mod tables;

use std::path::Path;

use gateway::template::{Resource, Template};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FUNCTION: &str = "AWS::Serverless::Function";

/// Parameters that bring in every optional part.
const ALL_PARTS: [(&str, &str); 12] = [
    ("BedrockModel", "model"),
    ("BedrockModelArns", "arn:aws:bedrock:us-east-1::foundation-model/other"),
    ("ConnectConcurrency", "50"),
    ("CorsOrigins", "https://app.example.com"),
    ("DomainCertificateArn", "certificate"),
    ("HostedZoneId", "Z1"),
    ("MessageConcurrency", "500"),
    ("OpenAiSecretName", "secret"),
    ("RestConcurrency", "20"),
    ("RestDomainName", "api.example.com"),
    ("WebSocketAccessLog", "new-account-role"),
    ("WebSocketDomainName", "ws.example.com"),
];

/// The template as it is written, with its intrinsic functions.
fn unresolved_template() -> Value {
    let yaml = std::fs::read_to_string(Path::new(ROOT).join("template.yaml")).expect("the template is readable");
    Template::json(&yaml).expect("it is a template")
}

/// The template with its default parameters.
fn template() -> Template {
    template_with(&[])
}

/// The template with all optional parts.
fn whole_template() -> Template {
    template_with(&ALL_PARTS)
}

fn template_with(parameters: &[(&str, &str)]) -> Template {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Template::load(&Path::new(ROOT).join("template.yaml"), &parameters).expect("the template is readable")
}

fn resources(template: &Template, kind: &str) -> Vec<Resource> {
    template.resources(kind).expect("every value can be resolved")
}

fn resource(template: &Template, kind: &str, logical_id: &str) -> Resource {
    let found = resources(template, kind).into_iter().find(|resource| resource.logical_id == logical_id);
    found.unwrap_or_else(|| panic!("the template has no {kind} {logical_id:?}"))
}

/// A string property; empty if it is missing.
fn text<'a>(resource: &'a Resource, pointer: &str) -> &'a str {
    resource.properties.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list. A single value stands for a list of one item.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        value => vec![value],
    }
}
