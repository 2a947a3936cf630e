//! Metrics in the log: CloudWatch accepts the lines, and the template's alarms and dashboard use existing metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use gateway::template::Template;
use serde_json::{Value, json};
use shared::runtime::telemetry::{METRICS, NAMESPACE};
use tests::Stack;

/// The schema of the embedded metric format.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn schema() -> Value {
    let text = |longest: u32| json!({ "type": "string", "minLength": 1, "maxLength": longest });
    let units = "^(Seconds|Microseconds|Milliseconds|(Kilo|Mega|Giga|Tera)?(Bytes|bytes|Bits|bits)(/Second)?|Percent|\
                 Count|Count/Second|None)$";
    json!({
        "type": "object",
        "required": ["_aws"],
        "properties": { "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": false,
            "properties": {
                "Timestamp": { "type": "integer", "minimum": 1_600_000_000_000_u64 },
                "CloudWatchMetrics": { "type": "array", "minItems": 1, "items": {
                    "type": "object",
                    "required": ["Namespace", "Dimensions", "Metrics"],
                    "additionalProperties": false,
                    "properties": {
                        "Namespace": { "allOf": [text(1024), { "pattern": "^[^:]" }] },
                        "Dimensions": { "type": "array", "minItems": 1, "items": {
                            "type": "array", "minItems": 1, "maxItems": 30, "items": text(250)
                        } },
                        "Metrics": { "type": "array", "minItems": 1, "maxItems": 100, "items": {
                            "type": "object",
                            "required": ["Name", "Unit"],
                            "additionalProperties": false,
                            "properties": {
                                "Name": text(1024),
                                "Unit": { "type": "string", "pattern": units }
                            }
                        } }
                    }
                } }
            }
        } }
    })
}

/// Asserts what the schema cannot express: every name is a member of the right type. Returns the names of the metrics.
fn metric_names(line: &Value) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().expect("the schema requires an array").clone();
    let mut names = BTreeSet::new();
    for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
        assert_eq!(directive["Namespace"], NAMESPACE);
        for dimension in list(&directive["Dimensions"]).iter().flat_map(list) {
            let value = line[dimension.as_str().expect("a name")].as_str();
            // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>
            assert!(value.is_some_and(|value| !value.is_empty() && value.len() <= 1024), "{dimension} of {line}");
        }
        for metric in list(&directive["Metrics"]) {
            let name = metric["Name"].as_str().expect("a name");
            assert!(line[name].is_number(), "{name} of {line}");
            assert!(names.insert(name.to_owned()), "{name} is listed twice: {line}");
        }
    }
    names
}

#[tokio::test]
async fn line_with_metrics_follows_the_embedded_metric_format() {
    let stack = Stack::shared();
    let tenant = stack.tenant("metrics").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("Hello").await;
    tenant.get("/api/v1/chats/chat_none").await;
    tenant.refusal("user_id=u&chat_id=chat_none").await;
    let mine = |line: &Value| line["tenant_id"] == tenant.id.as_str();
    stack.line_that("generation ended", mine).await;
    stack.line_that("request completed", |line| line.get("connections_refused").is_some()).await;
    stack.line_that("request completed", |line| mine(line) && line["error.code"] == "CHAT_NOT_FOUND").await;

    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let mut seen = BTreeSet::new();
    for line in stack.logged().iter().filter(|line| line.get("_aws").is_some()) {
        if let Err(error) = validator.validate(line) {
            panic!("{error} in {line}");
        }
        seen.extend(metric_names(line));
    }
    let expected = [
        "requests",
        "faults",
        "errors",
        "duration_ms",
        "generations",
        "first_token_ms",
        "total_ms",
        "output_tokens",
        "frames",
        "posted_bytes",
        "connections_opened",
        "connections_refused",
    ];
    for name in expected {
        assert!(seen.contains(name), "{name} is missing in {seen:?}");
    }
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert!(seen.is_subset(&known), "{seen:?}");
}

/// A metric's name and the names of its dimensions.
type MetricKey = (String, BTreeSet<String>);

fn emitted() -> BTreeSet<MetricKey> {
    let dimensions = |by: Option<&str>| ["stack"].into_iter().chain(by).map(str::to_owned).collect();
    METRICS.iter().map(|metric| (metric.name.to_owned(), dimensions(metric.dimension))).collect()
}

/// Collects this project's metrics in an alarm.
fn in_alarm(value: &Value, found: &mut Vec<MetricKey>) {
    if value["Namespace"] == NAMESPACE {
        let dimensions = value["Dimensions"].as_array().into_iter().flatten();
        let names = dimensions.map(|dimension| dimension["Name"].as_str().expect("a name").to_owned());
        found.push((value["MetricName"].as_str().expect("a name").to_owned(), names.collect()));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| in_alarm(item, found)),
        Value::Object(map) => map.values().for_each(|value| in_alarm(value, found)),
        _ => {}
    }
}

/// Collects this project's metrics in a dashboard: `[namespace, name, dimension, value, …, {options}]`, or in a search.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>
fn in_dashboard(value: &Value, found: &mut Vec<MetricKey>) {
    match value {
        Value::Array(items) if items.first().is_some_and(|first| first == NAMESPACE) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            let dimensions = texts[2..].iter().step_by(2).map(|name| (*name).to_owned()).collect();
            found.push((texts[1].to_owned(), dimensions));
        }
        Value::Array(items) => items.iter().for_each(|item| in_dashboard(item, found)),
        Value::Object(map) => map.values().for_each(|value| in_dashboard(value, found)),
        Value::String(text) => {
            // SEARCH('{namespace,dimension,…} MetricName="name" …', …)
            let searches = text.split("SEARCH('{").skip(1).filter_map(|search| search.split_once('}'));
            for (schema, rest) in searches {
                let names: Vec<&str> = schema.split(',').map(|name| name.trim_matches('"')).collect();
                let name = rest.split("MetricName=\"").nth(1).and_then(|rest| rest.split('"').next());
                if names[0] == NAMESPACE {
                    let dimensions = names[1..].iter().map(|name| (*name).to_owned()).collect();
                    found.push((name.expect("a search has a metric name").to_owned(), dimensions));
                }
            }
        }
        _ => {}
    }
}

#[test]
fn alarms_and_dashboard_use_emitted_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let given = BTreeMap::from([("AlarmEmail".to_owned(), "operator@example.com".to_owned())]);
    let template = Template::load(&path, &given).expect("the template is readable");
    let (mut alarmed, mut shown) = (Vec::new(), Vec::new());
    for alarm in template.resources("AWS::CloudWatch::Alarm").expect("alarms are readable") {
        in_alarm(&alarm.properties, &mut alarmed);
        assert!(alarm.properties["AlarmActions"][0].is_string(), "{} has no action", alarm.logical_id);
    }
    for dashboard in template.resources("AWS::CloudWatch::Dashboard").expect("dashboards are readable") {
        let body = dashboard.properties["DashboardBody"].as_str().expect("text");
        in_dashboard(&serde_json::from_str(body).expect("a dashboard is JSON"), &mut shown);
    }
    assert!(alarmed.len() >= 5 && shown.len() >= 10, "{} in alarms, {} in the dashboard", alarmed.len(), shown.len());
    let emitted = emitted();
    for used in alarmed.into_iter().chain(shown) {
        assert!(emitted.contains(&used), "{used:?} is not emitted: {emitted:?}");
    }
}
