use std::{collections::BTreeMap, path::Path, time::Duration};

use gateway::template::{Function, Template, TemplateError};
use serde_json::json;

use crate::harness::fixture;

fn load(parameters: &[(&str, &str)]) -> Result<Template, TemplateError> {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Template::load(&fixture("intrinsics.yaml"), &parameters.collect())
}

fn function(template: &Template, logical_id: &str) -> Function {
    template.functions().unwrap().into_iter().find(|function| function.logical_id == logical_id).unwrap()
}

#[test]
fn intrinsic_functions_are_resolved() {
    let tables = load(&[]).unwrap().resources("AWS::DynamoDB::Table").unwrap();
    assert_eq!(
        tables[0].properties,
        json!({
            "Region": "us-east-1",
            "Size": "small",
            "Zones": ["a", "b"],
            "Memory": 128,
            "Items": [1, 2],
            "Chosen": "little",
            "Joined": "a-2-true",
            "Second": "y",
            "Plain": "aws:Apple:arn:aws:dynamodb:us-east-1:000000000000:table/Apple:${literal}",
            "Mapped": "2/small",
            "Arn": "arn:aws:lambda:us-east-1:000000000000:function:Worker",
            "LongArn": "arn:aws:lambda:us-east-1:000000000000:function:Worker",
        })
    );
    assert_eq!(tables[0].metadata, json!({ "Note": "small" }));
}

#[test]
fn enabled_resources_are_in_template_order() {
    let names = |parameters| -> Vec<String> {
        let tables = load(parameters).unwrap().resources("AWS::DynamoDB::Table").unwrap();
        tables.into_iter().map(|table| table.logical_id).collect()
    };
    assert_eq!(names(&[]), ["Zebra", "Apple"]);
    assert_eq!(names(&[("Size", "large")]), ["Zebra", "Apple", "OnlyLarge"]);
}

#[test]
fn globals_are_merged_into_functions() {
    let template = load(&[]).unwrap();
    let worker = function(&template, "Worker");
    assert_eq!(worker.name, "Worker");
    assert_eq!(worker.timeout, Duration::from_secs(7));
    let environment: Vec<_> = worker.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        environment,
        [("FLAG", "true"), ("FROM_GLOBALS", "global"), ("NUMBER", "5"), ("OVERRIDDEN", "own"), ("TABLE", "Apple")]
    );
    let helper = function(&template, "Helper");
    assert_eq!(helper.name, "helper");
    assert_eq!(helper.timeout, Duration::from_secs(2));
}

#[test]
fn lists_of_globals_precede_own_items() {
    let yaml = "Globals: { Function: { Layers: [a] } }\n\
                Resources: { F: { Type: AWS::Serverless::Function, Properties: { Layers: [b] } } }";
    let template = Template::parse(yaml, &BTreeMap::new()).unwrap();
    let functions = template.resources("AWS::Serverless::Function").unwrap();
    assert_eq!(functions[0].properties, json!({ "Layers": ["a", "b"] }));
}

#[test]
fn unsupported_intrinsic_fails_only_where_it_is_used() {
    let template = load(&[]).unwrap();
    template.functions().unwrap();
    let error = template.resources("AWS::Serverless::Function").unwrap_err().to_string();
    assert!(error.contains("Resources.Worker.Properties.Role") && error.contains("Fn::ImportValue"), "{error}");
}

#[test]
fn missing_parameter_fails_only_where_it_is_used() {
    let error = load(&[]).unwrap().resources("AWS::Other::Thing").unwrap_err();
    assert!(matches!(error, TemplateError::MissingParameter { ref name, .. } if name == "Certificate"), "{error}");
    let given = load(&[("Certificate", "c")]).unwrap().resources("AWS::Other::Thing").unwrap();
    assert_eq!(given[0].properties, json!({ "Certificate": "c" }));
}

#[test]
fn reference_to_disabled_resource_is_an_error() {
    let error = load(&[]).unwrap().resources("AWS::Other::Lost").unwrap_err();
    assert!(matches!(error, TemplateError::UnknownReference { ref name, .. } if name == "OnlyLarge"), "{error}");
}

#[test]
fn unknown_parameter_error_lists_known_ones() {
    let error = load(&[("Siez", "small")]).unwrap_err().to_string();
    assert!(error.contains("Siez") && error.contains("Certificate, Count, Size, Zones"), "{error}");
}

#[test]
fn refused_parameter_value_error_lists_allowed_ones() {
    let error = load(&[("Size", "medium")]).unwrap_err().to_string();
    assert!(error.contains("small, large"), "{error}");
    for count in ["0", "10", "many"] {
        assert!(matches!(load(&[("Count", count)]), Err(TemplateError::ParameterValue { .. })), "{count}");
    }
    load(&[("Count", "9")]).unwrap();
}

#[test]
fn duplicate_route_is_an_error() {
    let event = "Properties: { Events: { E: { Type: HttpApi, Properties: { Path: /a, Method: get } } } }";
    let yaml = format!(
        "Resources:\n  A: {{ Type: AWS::Serverless::Function, {event} }}\n  B: {{ Type: AWS::Serverless::Function, {event} }}"
    );
    let error = Template::parse(&yaml, &BTreeMap::new()).unwrap().http_routes().unwrap_err();
    assert!(matches!(error, TemplateError::DuplicateRoute { ref route_key, .. } if route_key == "GET /a"), "{error}");
}

#[test]
fn malformed_template_is_an_error() {
    for yaml in
        ["", "a: [", "- a", "Resources: { A: { Properties: {} } }", "Resources: { A: { Type: x }, A: { Type: y } }"]
    {
        assert!(Template::parse(yaml, &BTreeMap::new()).is_err(), "{yaml}");
    }
    let missing = Template::load(&fixture("missing.yaml"), &BTreeMap::new()).unwrap_err();
    assert!(matches!(missing, TemplateError::Read { .. }));
}

#[test]
fn template_of_this_workspace_is_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template = Template::load(&path, &BTreeMap::new()).unwrap();
    let functions = template.functions().unwrap();
    let create = functions.iter().find(|function| function.name == "create-chat").unwrap();
    assert_eq!(create.timeout, Duration::from_secs(10));
    assert_eq!(create.environment["CHATS_TABLE"], "ChatsTable");
    assert_eq!(create.environment["LOG_LEVEL"], "info");
    let routes = template.http_routes().unwrap();
    let target = |key: &str| {
        let route = routes.iter().find(|route| route.route_key == key).unwrap();
        route.function.name.clone()
    };
    assert_eq!(target("POST /api/v1/chats"), "create-chat");
    assert_eq!(target("POST /api/v1/chats/{proxy+}"), "create-chat");
    assert_eq!(target("GET /api/v1/chats/{chat_id}"), "get-chat");
    assert_eq!(target("$default"), "fallback");
    let api = template.websocket_api().unwrap().unwrap();
    assert_eq!(api.stage, "live");
    assert_eq!(api.selection_path, ["action"]);
    assert_eq!(api.routes["$connect"].function.name, "ws-connect");
    assert_eq!(api.routes["$default"].function.name, "ws-message");
    assert_eq!(api.routes["$default"].timeout, Duration::from_secs(29));
    let tables = template.resources("AWS::DynamoDB::Table").unwrap();
    assert_eq!(tables[0].logical_id, "TenantsTable");
}
