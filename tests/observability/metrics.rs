//! The metrics in the log: lines that CloudWatch takes, and that the template asks for by their names.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use gateway::template::Template;
use serde_json::{Value, json};
use shared::runtime::telemetry::{METRICS, NAMESPACE};
use tests::Stack;

/// The embedded metric format, by its specification.
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

/// What the schema cannot say: every name is that of a member of the right kind. Returns the metrics' names.
fn targets(line: &Value) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().expect("the schema holds").clone();
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
            assert!(names.insert(name.to_owned()), "{name} stands there twice: {line}");
        }
    }
    names
}

#[tokio::test]
async fn every_line_with_metrics_is_one_that_cloudwatch_takes() {
    let stack = Stack::shared();
    let tenant = stack.tenant("metrics").await;
    let chat = tenant.chat("u").await;
    let mut socket = tenant.connect(&chat, "u").await;
    socket.say("Hello").await;
    tenant.get("/api/v1/chats/chat_none").await;
    tenant.refusal("user_id=u&chat_id=chat_none").await;
    let mine = |line: &Value| line["tenant_id"] == tenant.id.as_str();
    stack.line_that("streamed", mine).await;
    stack.line_that("answered", |line| line.get("connections_refused").is_some()).await;
    stack.line_that("answered", |line| mine(line) && line["error.code"] == "CHAT_NOT_FOUND").await;

    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let mut seen = BTreeSet::new();
    for line in stack.logged().iter().filter(|line| line.get("_aws").is_some()) {
        if let Err(error) = validator.validate(line) {
            panic!("{error} in {line}");
        }
        seen.extend(targets(line));
    }
    let expected = [
        "requests",
        "faults",
        "errors",
        "duration_ms",
        "streams",
        "first_token_ms",
        "total_ms",
        "tokens",
        "frames",
        "posted_bytes",
        "connections_opened",
        "connections_refused",
    ];
    for name in expected {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert!(seen.is_subset(&known), "{seen:?}");
}

/// What a metric of ours is asked for by: its name and its dimensions' names.
type Asked = (String, BTreeSet<String>);

fn emitted() -> BTreeSet<Asked> {
    let dimensions = |by: Option<&str>| ["stack"].into_iter().chain(by).map(str::to_owned).collect();
    METRICS.iter().map(|metric| (metric.name.to_owned(), dimensions(metric.by))).collect()
}

/// The metrics of ours that stand in an alarm, wherever in it.
fn in_alarm(value: &Value, found: &mut Vec<Asked>) {
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

/// The metrics of ours that stand in a dashboard: `[namespace, name, dimension, value, …, {options}]`, or in a search.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>
fn in_dashboard(value: &Value, found: &mut Vec<Asked>) {
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
                    found.push((name.expect("a search names its metric").to_owned(), dimensions));
                }
            }
        }
        _ => {}
    }
}

#[test]
fn alarms_and_dashboard_ask_for_metrics_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let given = BTreeMap::from([("AlarmEmail".to_owned(), "operator@example.com".to_owned())]);
    let template = Template::load(&path, &given).expect("the template is readable");
    let (mut alarmed, mut shown) = (Vec::new(), Vec::new());
    for alarm in template.resources("AWS::CloudWatch::Alarm").expect("alarms are readable") {
        in_alarm(&alarm.properties, &mut alarmed);
        assert!(alarm.properties["AlarmActions"][0].is_string(), "{} tells nobody", alarm.logical_id);
    }
    for dashboard in template.resources("AWS::CloudWatch::Dashboard").expect("dashboards are readable") {
        let body = dashboard.properties["DashboardBody"].as_str().expect("a text");
        in_dashboard(&serde_json::from_str(body).expect("a dashboard is JSON"), &mut shown);
    }
    assert!(alarmed.len() >= 5 && shown.len() >= 10, "{} in alarms, {} in the dashboard", alarmed.len(), shown.len());
    let emitted = emitted();
    for asked in alarmed.into_iter().chain(shown) {
        assert!(emitted.contains(&asked), "{asked:?} is none of {emitted:?}");
    }
}
