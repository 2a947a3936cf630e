//! Checks every response, event and refused handshake against `docs/openapi.json` and `docs/asyncapi.json`.

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::Validator;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Map, Value, json};

use crate::Response as HttpResponse;

static REST: LazyLock<Rest> = LazyLock::new(|| Rest::read(include_str!("../../docs/openapi.json")));
static WEBSOCKET: LazyLock<WebSocket> = LazyLock::new(|| WebSocket::read(include_str!("../../docs/asyncapi.json")));

/// Panics if the document does not describe this response to the request.
pub(crate) fn check_response(method: &Method, path: &str, response: &HttpResponse) {
    if is_from_the_gateway(response) {
        return;
    }
    let Some(described) = REST.find(method, path, response.status) else {
        panic!("{method} {path}: {} is not described: {}", response.status, response.body);
    };
    if let Err(why) = described.check(response) {
        panic!("{method} {path}: this {} differs from its description: {why}: {}", response.status, response.body);
    }
    for (name, value) in SECURITY_HEADERS {
        let sent = response.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(sent, Some(value), "{method} {path}: {name} of this {}", response.status);
    }
}

/// The security headers of every response of a function (SECURITY.md).
const SECURITY_HEADERS: [(&str, &str); 3] = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
];

/// Panics if the document does not describe this event.
pub(crate) fn check_event(event: &Value) {
    let kind = event["type"].as_str().unwrap_or_default();
    let Some(schema) = WEBSOCKET.events.get(kind) else { panic!("this event is not described: {event}") };
    if let Err(why) = holds(schema, event) {
        panic!("this event differs from its description: {why}: {event}");
    }
}

/// Panics if the document describes no refused handshake with this status.
pub(crate) fn check_refusal(status: StatusCode) {
    assert!(WEBSOCKET.refusals.contains(&status.as_u16()), "a handshake refused with {status} is not described");
}

/// API Gateway responds itself if it cannot reach a function, without a request id of ours.
fn is_from_the_gateway(response: &HttpResponse) -> bool {
    matches!(response.status.as_u16(), 502..=504)
        && !response.headers.contains_key("x-request-id")
        && response.body.as_object().is_some_and(|body| body.len() == 1 && body.contains_key("message"))
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
    /// The allowed headers, and whether each is required.
    headers: BTreeMap<String, (bool, Validator)>,
    /// Headers described for other responses only.
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
        // Literal segments win, as in API Gateway's routing.
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
            // `POST …/{proxy+}` reaches create-chat, which authenticates before it finds no route.
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

    fn check(&self, response: &HttpResponse) -> Result<(), String> {
        match &self.body {
            None if response.body.is_null() => {}
            None => return Err("it has a body".to_owned()),
            Some(body) => {
                if response.headers.get("content-type").is_none_or(|kind| kind != "application/json") {
                    return Err("it is not JSON".to_owned());
                }
                holds(body, &response.body)?;
            }
        }
        for (name, (required, schema)) in &self.headers {
            match header(&response.headers, name) {
                Some(value) => holds(schema, &value).map_err(|why| format!("the header {name}: {why}"))?,
                None if *required => return Err(format!("the header {name} is missing")),
                None => {}
            }
        }
        match self.foreign.iter().find(|name| response.headers.contains_key(*name)) {
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

/// A header as JSON: a number if it parses as one.
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
