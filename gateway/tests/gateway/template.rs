use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gateway::template::{Function, Template, TemplateError};
use serde_json::json;

use crate::harness::fixture;

fn with(parameters: &[(&str, &str)]) -> Result<Template, TemplateError> {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Template::load(&fixture("intrinsics.yaml"), &parameters.collect())
}

fn function(template: &Template, logical_id: &str) -> Function {
    template.functions().unwrap().into_iter().find(|function| function.logical_id == logical_id).unwrap()
}

#[test]
fn intrinsics_are_resolved() {
    let tables = with(&[]).unwrap().resources("AWS::DynamoDB::Table").unwrap();
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
fn resources_come_in_the_order_of_the_template_if_their_condition_holds() {
    let names = |parameters| -> Vec<String> {
        let tables = with(parameters).unwrap().resources("AWS::DynamoDB::Table").unwrap();
        tables.into_iter().map(|table| table.logical_id).collect()
    };
    assert_eq!(names(&[]), ["Zebra", "Apple"]);
    assert_eq!(names(&[("Size", "large")]), ["Zebra", "Apple", "OnlyLarge"]);
}

#[test]
fn globals_are_merged() {
    let template = with(&[]).unwrap();
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
fn lists_of_globals_come_first() {
    let yaml = "Globals: { Function: { Layers: [a] } }\n\
                Resources: { F: { Type: AWS::Serverless::Function, Properties: { Layers: [b] } } }";
    let template = Template::parse(yaml, &BTreeMap::new()).unwrap();
    let functions = template.resources("AWS::Serverless::Function").unwrap();
    assert_eq!(functions[0].properties, json!({ "Layers": ["a", "b"] }));
}

#[test]
fn an_intrinsic_without_local_meaning_is_an_error_where_it_is_asked_for() {
    let template = with(&[]).unwrap();
    template.functions().unwrap();
    let error = template.resources("AWS::Serverless::Function").unwrap_err().to_string();
    assert!(error.contains("Resources.Worker.Properties.Role") && error.contains("Fn::ImportValue"), "{error}");
}

#[test]
fn parameters_without_a_value_are_an_error_where_they_are_asked_for() {
    let error = with(&[]).unwrap().resources("AWS::Other::Thing").unwrap_err();
    assert!(matches!(error, TemplateError::MissingParameter { ref name, .. } if name == "Certificate"), "{error}");
    let given = with(&[("Certificate", "c")]).unwrap().resources("AWS::Other::Thing").unwrap();
    assert_eq!(given[0].properties, json!({ "Certificate": "c" }));
}

#[test]
fn an_absent_resource_cannot_be_referred_to() {
    let error = with(&[]).unwrap().resources("AWS::Other::Lost").unwrap_err();
    assert!(matches!(error, TemplateError::UnknownReference { ref name, .. } if name == "OnlyLarge"), "{error}");
}

#[test]
fn an_unknown_parameter_is_an_error_that_names_the_known_ones() {
    let error = with(&[("Siez", "small")]).unwrap_err().to_string();
    assert!(error.contains("Siez") && error.contains("Certificate, Count, Size, Zones"), "{error}");
}

#[test]
fn a_value_that_is_not_allowed_is_an_error_that_names_the_allowed_ones() {
    let error = with(&[("Size", "medium")]).unwrap_err().to_string();
    assert!(error.contains("small, large"), "{error}");
    for count in ["0", "10", "many"] {
        assert!(matches!(with(&[("Count", count)]), Err(TemplateError::ParameterValue { .. })), "{count}");
    }
    with(&[("Count", "9")]).unwrap();
}

#[test]
fn a_route_belongs_to_one_function() {
    let event = "Properties: { Events: { E: { Type: HttpApi, Properties: { Path: /a, Method: get } } } }";
    let yaml = format!(
        "Resources:\n  A: {{ Type: AWS::Serverless::Function, {event} }}\n  B: {{ Type: AWS::Serverless::Function, {event} }}"
    );
    let error = Template::parse(&yaml, &BTreeMap::new()).unwrap().http_routes().unwrap_err();
    assert!(matches!(error, TemplateError::DuplicateRoute { ref route_key, .. } if route_key == "GET /a"), "{error}");
}

#[test]
fn what_is_not_a_template_is_an_error() {
    for yaml in
        ["", "a: [", "- a", "Resources: { A: { Properties: {} } }", "Resources: { A: { Type: x }, A: { Type: y } }"]
    {
        assert!(Template::parse(yaml, &BTreeMap::new()).is_err(), "{yaml}");
    }
    let missing = Template::load(&fixture("missing.yaml"), &BTreeMap::new()).unwrap_err();
    assert!(matches!(missing, TemplateError::Read { .. }));
}

#[test]
fn the_template_of_this_workspace_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template = Template::load(&path, &BTreeMap::new()).unwrap();
    let functions = template.functions().unwrap();
    let create = functions.iter().find(|function| function.name == "create-chat").unwrap();
    assert_eq!(create.timeout, Duration::from_secs(10));
    assert_eq!(create.environment["CHATS_TABLE"], "ChatsTable");
    assert_eq!(create.environment["LOG_LEVEL"], "info");
    let routes = template.http_routes().unwrap();
    let leads_to = |key: &str| {
        let route = routes.iter().find(|route| route.route_key == key).unwrap();
        route.function.name.clone()
    };
    assert_eq!(leads_to("POST /api/v1/chats"), "create-chat");
    assert_eq!(leads_to("POST /api/v1/chats/{proxy+}"), "create-chat");
    assert_eq!(leads_to("GET /api/v1/chats/{chat_id}"), "get-chat");
    assert_eq!(leads_to("$default"), "fallback");
    let api = template.websocket_api().unwrap().unwrap();
    assert_eq!(api.stage, "live");
    assert_eq!(api.selection_path, ["action"]);
    assert_eq!(api.routes["$connect"].function.name, "ws-connect");
    assert_eq!(api.routes["$default"].function.name, "ws-message");
    assert_eq!(api.routes["$default"].timeout, Duration::from_secs(29));
    let tables = template.resources("AWS::DynamoDB::Table").unwrap();
    assert_eq!(tables[0].logical_id, "TenantsTable");
}
