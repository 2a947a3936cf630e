//! The routes of the template, compared with the route table and with the OpenAPI document.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::rest::ROUTES;

use super::{ROOT, template};

#[test]
fn template_has_the_routes_of_the_table_with_their_functions() {
    let routes = template().http_routes().expect("routes are readable");
    let deployed: BTreeSet<(String, String)> =
        routes.into_iter().map(|route| (route.route_key, route.function.name)).collect();
    let table = ROUTES.iter().flat_map(|route| route.route_keys().into_iter().map(|key| (key, route.function)));
    let expected: BTreeSet<(String, String)> =
        table.chain([("$default".to_owned(), "fallback")]).map(|(key, function)| (key, function.to_owned())).collect();
    assert_eq!(deployed, expected);
}

#[test]
fn openapi_document_has_the_routes_of_the_table_with_their_operation_ids() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/openapi.json")).expect("the document is readable");
    let document: Value = serde_json::from_str(&document).expect("the document is JSON");
    let methods = ["delete", "get", "head", "options", "patch", "post", "put", "trace"];
    let paths = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| methods.iter().filter_map(move |method| Some((method, path, item.get(method)?))))
        .map(|(method, path, operation)| {
            let id = operation["operationId"].as_str().expect("an operation id");
            (format!("{} {path}", method.to_uppercase()), id.to_owned())
        })
        .collect();
    let expected: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|route| (format!("{} {}", route.method, route.documented_path()), route.operation_id.to_owned()))
        .collect();
    assert_eq!(documented, expected);
}
