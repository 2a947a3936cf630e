//! The properties that every function must have.

use std::{collections::BTreeSet, time::Duration};

use shared::runtime::deadline::RESPONSE_DEADLINE;

use super::{FUNCTION, ROOT, resource, resources, template, template_with, text, whole_template};

#[test]
fn functions_and_crates_correspond() {
    let functions = whole_template().functions().expect("functions are readable");
    let named: BTreeSet<String> = functions.into_iter().map(|function| function.name).collect();
    let crates = std::fs::read_dir(format!("{ROOT}/functions")).expect("there are functions");
    let crates: BTreeSet<String> =
        crates.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
    assert_eq!(named, crates);
}

#[test]
fn every_function_has_a_timeout_and_memory() {
    for function in resources(&whole_template(), FUNCTION) {
        let number = |key: &str| function.properties[key].as_u64().unwrap_or_default();
        let (timeout, memory) = (number("Timeout"), number("MemorySize"));
        assert!((1..=900).contains(&timeout), "{} has a Timeout of {timeout} s", function.logical_id);
        assert!((128..=10_240).contains(&memory), "{} has a MemorySize of {memory} MB", function.logical_id);
    }
}

/// How long API Gateway waits for an integration of a WebSocket API; it waits 30 s for one of an HTTP API.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);

#[test]
fn deadline_of_a_request_is_before_the_end_of_its_function() {
    for function in whole_template().functions().expect("functions are readable") {
        let killed = function.timeout.min(INTEGRATION_TIMEOUT);
        assert!(killed >= RESPONSE_DEADLINE + Duration::from_secs(1), "{} has {killed:?}", function.name);
    }
}

#[test]
fn every_function_has_its_own_log_group() {
    let template = whole_template();
    let mut taken = BTreeSet::new();
    for function in resources(&template, FUNCTION) {
        let name = text(&function, "/LoggingConfig/LogGroup").to_owned();
        let group = resource(&template, "AWS::Logs::LogGroup", &name);
        let binary = function.metadata["BuildProperties"]["Binary"].as_str().expect("functions name their binary");
        let group_name = text(&group, "/LogGroupName");
        assert!(group_name.starts_with("/aws/lambda/") && group_name.ends_with(binary), "{name} is {group_name:?}");
        assert!(taken.insert(name.clone()), "{name} has two functions");
    }
}

#[test]
fn every_log_has_a_retention() {
    for group in resources(&whole_template(), "AWS::Logs::LogGroup") {
        let days = text(&group, "/RetentionInDays").parse::<u32>();
        assert!(days.is_ok_and(|days| days > 0), "{} has no retention", group.logical_id);
    }
}

#[test]
fn concurrency_of_every_function_can_be_reserved() {
    for function in resources(&whole_template(), FUNCTION) {
        let reserved = text(&function, "/ReservedConcurrentExecutions").parse::<u32>();
        assert!(reserved.is_ok_and(|reserved| reserved > 0), "{} has no reserved concurrency", function.logical_id);
    }
}

#[test]
fn panic_unwinds_in_a_deployed_function() {
    let manifest = std::fs::read_to_string(format!("{ROOT}/Cargo.toml")).expect("the manifest is readable");
    let profile = manifest.split("[profile.release]").nth(1).expect("there is a release profile");
    let profile = profile.split("\n[").next().unwrap_or_default();
    assert!(
        profile.contains("panic = \"unwind\""),
        "by default, cargo-lambda builds with panic = \"abort\": {profile}"
    );
}

/// The concurrency that a template reserves for each function.
fn reserved(template: &gateway::template::Template) -> Vec<(String, u32)> {
    let functions = resources(template, FUNCTION).into_iter();
    let reserved = |function: &super::Resource| {
        function
            .properties
            .get("ReservedConcurrentExecutions")
            .map(|_| text(function, "/ReservedConcurrentExecutions").parse().expect("a number"))
    };
    functions.filter_map(|function| Some((function.logical_id.clone(), reserved(&function)?))).collect()
}

/// What Lambda keeps for functions without a reservation.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html>
const UNRESERVED: u32 = 100;

#[test]
fn default_stack_reserves_concurrency_for_every_function_of_the_usual_account() {
    let reserved = reserved(&template());
    let functions = resources(&template(), FUNCTION).len();
    assert_eq!(
        reserved.len(),
        functions,
        "a function without a reservation stops when ws-message is full: {reserved:?}"
    );
    assert!(reserved.iter().all(|(_, number)| *number > 0), "0 stops a function: {reserved:?}");
    let sum: u32 = reserved.iter().map(|(_, number)| number).sum();
    assert!(sum <= 1_000 - UNRESERVED, "Lambda refuses to reserve {sum} of 1,000");
}

#[test]
fn account_with_the_quota_of_a_new_one_reserves_nothing() {
    for quota in ["10", "50", "100"] {
        let reserved = reserved(&template_with(&[("AccountConcurrency", quota)]));
        assert_eq!(reserved, [], "Lambda refuses any reservation below a quota of {UNRESERVED}");
    }
}

#[test]
fn larger_account_keeps_the_reservations() {
    assert_eq!(reserved(&template_with(&[("AccountConcurrency", "5000")])), reserved(&template()));
}
