//! What the code says twice, held against `template.yaml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use gateway::template::Template;
use shared::{budget::BUDGET, http::ROUTES};

fn template() -> Template {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    Template::load(&path, &BTreeMap::new()).expect("the template is readable")
}

#[test]
fn the_fallback_knows_every_route() {
    let routes = template().http_routes().expect("routes are readable");
    let deployed: BTreeSet<String> = routes
        .into_iter()
        .map(|route| route.route_key)
        .filter(|key| key != "$default" && !key.ends_with("/{proxy+}"))
        .collect();
    let known: BTreeSet<String> = ROUTES
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}")))
        .collect();
    assert_eq!(deployed, known);
}

#[test]
fn every_function_is_a_crate_and_the_other_way_round() {
    let functions = template().functions().expect("functions are readable");
    let named: BTreeSet<String> = functions.into_iter().map(|function| function.name).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let crates = std::fs::read_dir(folder).expect("there are functions");
    let crates: BTreeSet<String> =
        crates.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
    assert_eq!(named, crates);
}

/// API Gateway waits so long for any function.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const GATEWAY: Duration = Duration::from_secs(29);

#[test]
fn a_request_is_answered_before_its_function_is_killed() {
    for function in template().functions().expect("functions are readable") {
        let killed = function.timeout.min(GATEWAY);
        assert!(killed >= BUDGET + Duration::from_secs(1), "{} has {killed:?}", function.name);
    }
}
