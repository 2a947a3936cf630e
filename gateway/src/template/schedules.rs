//! Functions that run on a schedule.

use std::time::Duration;

use serde_json::Value;

use super::functions::FUNCTION;
use super::resolve::{Place, scalar_text};
use super::{Function, Template, TemplateError};

/// A function that runs on a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// The function.
    pub function: Function,
    /// The name of the event in the template.
    pub name: String,
    /// The time between two runs.
    pub every: Duration,
}

impl Template {
    /// The `Schedule` events that are not switched off.
    ///
    /// # Errors
    ///
    /// When an event cannot be resolved, or has no rate: `cron` is not spoken here.
    pub fn schedules(&self) -> Result<Vec<Schedule>, TemplateError> {
        let functions = self.functions()?;
        let mut schedules = Vec::new();
        for (function, (logical_id, resource)) in functions.into_iter().zip(self.present(FUNCTION)?) {
            let place = Place::root("Resources").key(logical_id).key("Properties").key("Events");
            let properties = self.merged_properties(FUNCTION, resource);
            for (name, event) in properties.get("Events").and_then(Value::as_object).into_iter().flatten() {
                if event.get("Type").and_then(Value::as_str) != Some("Schedule") {
                    continue;
                }
                let place = place.key(name).key("Properties");
                let text = |key: &str| match event.pointer("/Properties").and_then(|event| event.get(key)) {
                    Some(value) => Ok(self.resolve(value, &place.key(key))?.as_ref().and_then(scalar_text)),
                    None => Ok(None),
                };
                if text("Enabled")?.as_deref() == Some("false") || text("State")?.as_deref() == Some("DISABLED") {
                    continue;
                }
                let every = text("Schedule")?.as_deref().and_then(rate);
                let every = every.ok_or_else(|| place.key("Schedule").malformed("of the form rate(5 minutes)"))?;
                schedules.push(Schedule { function: function.clone(), name: name.clone(), every });
            }
        }
        Ok(schedules)
    }
}

/// `rate(1 minute)`, `rate(5 minutes)`.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>
fn rate(expression: &str) -> Option<Duration> {
    let (number, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
        "minute" => 60,
        "hour" => 60 * 60,
        "day" => 24 * 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_aws_writes_them() {
        let seconds = |text| rate(text).map(|every| every.as_secs());
        assert_eq!(seconds("rate(1 minute)"), Some(60));
        assert_eq!(seconds("rate(5 minutes)"), Some(300));
        assert_eq!(seconds("rate(2 hours)"), Some(7_200));
        for bad in ["rate(0 minutes)", "rate(5 seconds)", "cron(0 12 * * ? *)", "5 minutes", "rate(minute)"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
