//! Routes.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::rest::ROUTES;

use super::{ROOT, template};

/// The route keys of the template, but for those that take what no other route does.
fn deployed() -> BTreeSet<String> {
    let routes = template().http_routes().expect("routes are readable");
    let keys = routes.into_iter().map(|route| route.route_key);
    keys.filter(|key| key != "$default" && !key.ends_with("/{proxy+}")).collect()
}

#[test]
fn the_fallback_knows_every_route() {
    let known: BTreeSet<String> = ROUTES
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}")))
        .collect();
    assert_eq!(deployed(), known);
}

#[test]
fn every_route_is_documented_and_the_other_way_round() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/openapi.json")).expect("the document is readable");
    let document: Value = serde_json::from_str(&document).expect("the document is JSON");
    let methods = ["delete", "get", "patch", "post", "put"];
    let paths = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| methods.iter().filter(|method| item.get(method).is_some()).map(move |m| (m, path)))
        .map(|(method, path)| format!("{} {}", method.to_uppercase(), path.trim_end_matches('/')))
        .collect();
    assert_eq!(deployed(), documented);
}
