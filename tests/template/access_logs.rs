//! Access logs: they hold no keys, no tickets and no ids.

use serde_json::Value;

use super::{Resource, resources, template, text, whole_template};

/// The variables that may be logged. Left out: the path, which holds ids; the query, which holds keys and tickets; and
/// API Gateway's free text, which may quote either.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-logging.html>
const LOGGED: [&str; 9] = [
    "error.responseType",
    "eventType",
    "integrationLatency",
    "requestId",
    "requestTime",
    "responseLatency",
    "responseLength",
    "routeKey",
    "status",
];

/// The variables of a log format, each with its prefix `context.`.
fn variables(format: &str) -> Vec<&str> {
    let ends = |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(text.len());
    format.split('$').skip(1).map(|rest| &rest[..ends(rest)]).collect()
}

fn check(api: &Resource) {
    let format = text(api, "/AccessLogSettings/Format");
    let line: Value = serde_json::from_str(format)
        .unwrap_or_else(|error| panic!("{} logs no JSON objects ({error}): {format}", api.logical_id));
    assert!(line["route"] == "$context.routeKey" && line["status"] == "$context.status", "{line}");
    for variable in variables(format) {
        let name = variable.strip_prefix("context.").unwrap_or(variable);
        assert!(LOGGED.contains(&name), "{} logs ${variable}, which may hold a key or an id", api.logical_id);
    }
}

#[test]
fn both_apis_log_routes_but_no_paths_and_no_queries() {
    let template = whole_template();
    let http = resources(&template, "AWS::Serverless::HttpApi");
    let websocket = resources(&template, "AWS::Serverless::WebSocketApi");
    assert_eq!((http.len(), websocket.len()), (1, 1));
    http.iter().chain(&websocket).for_each(check);
}

#[test]
fn websocket_api_has_no_log_without_the_account_role() {
    let apis = resources(&template(), "AWS::Serverless::WebSocketApi");
    assert_eq!(apis[0].properties.get("AccessLogSettings"), None);
    assert!(resources(&template(), "AWS::ApiGateway::Account").is_empty());
}

#[test]
fn execution_logs_are_off() {
    for api in resources(&whole_template(), "AWS::Serverless::WebSocketApi") {
        let settings = &api.properties["DefaultRouteSettings"];
        assert_eq!((&settings["LoggingLevel"], &settings["DataTraceEnabled"]), (&"OFF".into(), &false.into()));
        assert_eq!(api.properties.get("RouteSettings"), None, "a route with its own settings may log");
    }
}
