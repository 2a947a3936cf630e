//! What `template.yaml` says, held against the code, and against what nobody should be able to deploy.

mod access_logs;
mod cors;
mod domains;
mod environment;
mod functions;
mod parameters;
mod policies;
mod routes;

use std::path::Path;

use gateway::template::{Resource, Template};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FUNCTION: &str = "AWS::Serverless::Function";

/// What brings in every part that a parameter leaves out.
const EVERYTHING: [(&str, &str); 11] = [
    ("BedrockModel", "model"),
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

/// The template as it is deployed by default.
fn template() -> Template {
    template_with(&[])
}

/// The template with all its optional parts.
fn whole_template() -> Template {
    template_with(&EVERYTHING)
}

fn template_with(parameters: &[(&str, &str)]) -> Template {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Template::load(&Path::new(ROOT).join("template.yaml"), &parameters).expect("the template is readable")
}

fn resources(template: &Template, kind: &str) -> Vec<Resource> {
    template.resources(kind).expect("every value has a local meaning")
}

fn resource(template: &Template, kind: &str, logical_id: &str) -> Resource {
    let found = resources(template, kind).into_iter().find(|resource| resource.logical_id == logical_id);
    found.unwrap_or_else(|| panic!("the template has no {kind} {logical_id:?}"))
}

/// A string property, empty if it is not there.
fn text<'a>(resource: &'a Resource, pointer: &str) -> &'a str {
    resource.properties.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list, or the one value that stands for a list of it.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        value => vec![value],
    }
}
