//! Alarms: whom they notify, and those that must notice what does not happen.

use super::{Resource, resource, resources, template, template_with, unresolved_template};

const ALARM: &str = "AWS::CloudWatch::Alarm";

fn number(resource: &Resource, key: &str) -> u64 {
    resource.properties[key].as_u64().unwrap_or_else(|| panic!("{} has no {key}", resource.logical_id))
}

#[test]
fn alarms_notify_only_if_an_address_is_given() {
    let with_address = template_with(&[("AlarmEmail", "operator@example.com")]);
    for (template, notifies) in [(template(), false), (with_address, true)] {
        let alarms = resources(&template, ALARM);
        assert!(alarms.len() >= 10, "{}", alarms.len());
        for alarm in alarms {
            for actions in ["AlarmActions", "OKActions"] {
                assert_eq!(alarm.properties.get(actions).is_some(), notifies, "{actions} of {}", alarm.logical_id);
            }
        }
    }
}

#[test]
fn missing_maintenance_runs_are_noticed_at_every_allowed_schedule() {
    let alarm = resource(&template(), ALARM, "MissingMaintenanceRunsAlarm");
    assert_eq!(alarm.properties["MetricName"], "maintenance_runs");
    assert_eq!(alarm.properties["TreatMissingData"], "breaching", "a run that is missing writes nothing");
    assert_eq!(
        (&alarm.properties["ComparisonOperator"], number(&alarm, "Threshold")),
        (&"LessThanThreshold".into(), 1)
    );
    let seconds = number(&alarm, "Period") * number(&alarm, "EvaluationPeriods");
    // The longest schedule that the parameter's pattern allows.
    let longest = 15 * 60;
    for minutes in [16, 30, 60] {
        assert!(!allows_schedule(&format!("rate({minutes} minutes)")), "{minutes}");
    }
    assert!(
        allows_schedule("rate(1 minute)") && allows_schedule("rate(5 minutes)") && allows_schedule("rate(15 minutes)")
    );
    assert!(!allows_schedule("rate(1 hour)") && !allows_schedule("rate(1 day)"));
    assert!(seconds >= 2 * longest, "a run that is a little late is not missing: {seconds}");
}

/// Whether the pattern of the parameter allows a schedule.
fn allows_schedule(schedule: &str) -> bool {
    let parameters = &unresolved_template()["Parameters"];
    let pattern = parameters["MaintenanceSchedule"]["AllowedPattern"].as_str().expect("a pattern").to_owned();
    let schema = serde_json::json!({ "pattern": format!("^(?:{pattern})$") });
    jsonschema::validator_for(&schema).expect("a pattern").is_valid(&schedule.into())
}

#[test]
fn maintenance_refused_posts_and_budgets_have_alarms() {
    for (alarm, metric) in [
        ("MaintenanceEntriesAlarm", "maintenance_failures"),
        ("MissingMaintenanceRunsAlarm", "maintenance_runs"),
        ("RefusedPostsAlarm", "posts_refused"),
        ("BudgetRefusalsAlarm", "budget_refused"),
    ] {
        let alarm = resource(&template(), ALARM, alarm);
        assert_eq!(
            (&alarm.properties["Namespace"], &alarm.properties["MetricName"]),
            (&"ChatApi".into(), &metric.into())
        );
    }
}
