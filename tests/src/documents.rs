//! Holds what the stack says against the documents below `docs/`: an answer, event or refusal that they do not describe
//! fails the test that saw it.

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::Validator;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Map, Value, json};

use crate::Answer;

static REST: LazyLock<Rest> = LazyLock::new(|| Rest::read(include_str!("../../docs/openapi.json")));
static WEBSOCKET: LazyLock<WebSocket> = LazyLock::new(|| WebSocket::read(include_str!("../../docs/asyncapi.json")));

/// Panics when no answer like this is described for the request.
pub(crate) fn check_answer(method: &Method, path: &str, answer: &Answer) {
    if is_the_gateways_own(answer) {
        return;
    }
    let described = REST.find(method, path, answer.status);
    let Some(described) = described else {
        panic!("{method} {path}: {} is not described: {}", answer.status, answer.body);
    };
    if let Err(why) = described.check(answer) {
        panic!("{method} {path}: this {} is not as described: {why}: {}", answer.status, answer.body);
    }
    for (name, value) in GUARDS {
        let sent = answer.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(sent, Some(value), "{method} {path}: {name} of this {}", answer.status);
    }
}

/// What every answer of ours says to browsers (docs/SECURITY.md).
const GUARDS: [(&str, &str); 3] = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
];

/// Panics when no event like this is described.
pub(crate) fn check_event(event: &Value) {
    let kind = event["type"].as_str().unwrap_or_default();
    let Some(schema) = WEBSOCKET.events.get(kind) else { panic!("this event is not described: {event}") };
    if let Err(why) = holds(schema, event) {
        panic!("this event is not as described: {why}: {event}");
    }
}

/// Panics when no refusal of a handshake with this status is described.
pub(crate) fn check_refusal(status: StatusCode) {
    assert!(WEBSOCKET.refusals.contains(&status.as_u16()), "a handshake refused with {status} is not described");
}

/// API Gateway answers in words of its own when it cannot reach a function, and knows no request id of ours.
fn is_the_gateways_own(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 502..=504)
        && !answer.headers.contains_key("x-request-id")
        && answer.body.as_object().is_some_and(|body| body.len() == 1 && body.contains_key("message"))
}

struct Rest {
    operations: Vec<Operation>,
    unrouted: BTreeMap<u16, Response>,
}

struct Operation {
    method: String,
    template: String,
    responses: BTreeMap<u16, Response>,
}

struct Response {
    body: Option<Validator>,
    /// The headers that may be there, and whether they must.
    headers: BTreeMap<String, (bool, Validator)>,
    /// Those that are described for other answers.
    foreign: Vec<String>,
}

impl Rest {
    fn read(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).expect("JSON");
        let mut operations = Vec::new();
        for (template, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let responses = operation["responses"].as_object().expect("responses");
                let responses = responses
                    .iter()
                    .map(|(status, response)| (status.parse().expect("a status"), Response::read(&document, response)));
                operations.push(Operation {
                    method: method.to_uppercase(),
                    template: template.trim_end_matches('/').to_owned(),
                    responses: responses.collect(),
                });
            }
        }
        // As routes are chosen: literal segments win.
        operations.sort_by_key(|operation| operation.template.split('/').map(is_variable).collect::<Vec<_>>());
        let unrouted = [(404, "ROUTE_NOT_FOUND"), (405, "METHOD_NOT_ALLOWED")];
        let unrouted = unrouted
            .map(|(status, name)| (status, Response::read(&document, &document["components"]["responses"][name])));
        Self { operations, unrouted: unrouted.into() }
    }

    fn find(&self, method: &Method, path: &str, status: StatusCode) -> Option<&Response> {
        let status = status.as_u16();
        let creates = *method == Method::POST && path == "/api/v1/chats/";
        let path = if creates { path.trim_end_matches('/') } else { path };
        let found = self
            .operations
            .iter()
            .find(|operation| operation.method == method.as_str() && matches(&operation.template, path));
        match found {
            Some(operation) => operation.responses.get(&status),
            // What is posted below the collection passes the authenticator before it turns out to be nothing.
            None if *method == Method::POST && path.starts_with("/api/v1/chats/") => {
                let create = self.operations.iter().find(|operation| operation.template == "/api/v1/chats");
                self.unrouted.get(&status).or_else(|| create?.responses.get(&status))
            }
            None => self.unrouted.get(&status),
        }
    }
}

impl Response {
    fn read(document: &Value, response: &Value) -> Self {
        let known = document["components"]["headers"].as_object().expect("headers");
        let none = Map::new();
        let mut headers = BTreeMap::new();
        for (name, header) in response["headers"].as_object().unwrap_or(&none) {
            let referred = header["$ref"].as_str().and_then(|path| path.rsplit('/').next()).expect("a reference");
            let header = &known[referred];
            let required = header["required"] == true;
            headers.insert(name.to_lowercase(), (required, schema(document, &header["schema"])));
        }
        let foreign = known.keys().map(|name| name.to_lowercase()).filter(|name| !headers.contains_key(name)).collect();
        let body = response["content"]["application/json"].get("schema").map(|body| schema(document, body));
        Self { body, headers, foreign }
    }

    fn check(&self, answer: &Answer) -> Result<(), String> {
        match &self.body {
            None if answer.body.is_null() => {}
            None => return Err("it has a body".to_owned()),
            Some(body) => {
                if answer.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
                    return Err("it is not JSON".to_owned());
                }
                holds(body, &answer.body)?;
            }
        }
        for (name, (required, schema)) in &self.headers {
            match header(&answer.headers, name) {
                Some(value) => holds(schema, &value).map_err(|why| format!("the header {name}: {why}"))?,
                None if *required => return Err(format!("the header {name} is missing")),
                None => {}
            }
        }
        match self.foreign.iter().find(|name| answer.headers.contains_key(*name)) {
            Some(name) => Err(format!("it has the header {name}")),
            None => Ok(()),
        }
    }
}

struct WebSocket {
    events: BTreeMap<String, Validator>,
    refusals: Vec<u16>,
}

impl WebSocket {
    fn read(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).expect("JSON");
        let mut events = BTreeMap::new();
        let operations = document["operations"].as_object().expect("operations");
        for operation in operations.values().filter(|operation| operation["action"] == "send") {
            let reference = operation["messages"][0]["$ref"].as_str().expect("a reference");
            let name = reference.rsplit('/').next().expect("a name");
            let message = &document["components"]["messages"][name];
            let kind = message["name"].as_str().expect("a name").to_owned();
            events.insert(kind, schema(&document, &message["payload"]));
        }
        let refusals = document["channels"]["chat"]["x-refusals"].as_array().expect("refusals");
        let refusals = refusals.iter().filter_map(|refusal| refusal["status"].as_u64()?.try_into().ok());
        Self { events, refusals: refusals.collect() }
    }
}

fn schema(document: &Value, schema: &Value) -> Validator {
    let components = json!({ "schemas": document["components"]["schemas"] });
    let schema = json!({ "allOf": [schema], "components": components });
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("a schema")
}

fn holds(schema: &Validator, value: &Value) -> Result<(), String> {
    let errors: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{} {error}", error.instance_path())).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// A header as JSON: a number where it is one.
fn header(headers: &HeaderMap, name: &str) -> Option<Value> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(text.parse::<u64>().map_or_else(|_| text.into(), Value::from))
}

fn matches(template: &str, path: &str) -> bool {
    let (expected, given) = (template.split('/'), path.split('/'));
    expected.clone().count() == given.clone().count()
        && expected.zip(given).all(
            |(expected, given)| {
                if is_variable(expected) { !given.is_empty() } else { expected == given }
            },
        )
}

fn is_variable(segment: &str) -> bool {
    segment.starts_with('{')
}
