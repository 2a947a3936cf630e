//! Events of type `Schedule`.

use std::time::Duration;

use serde_json::Value;

use super::{
    document::Template,
    error::TemplateError,
    functions::{FUNCTION, Function},
    location::Location,
    value::scalar_text,
};

/// A schedule that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// The function.
    pub function: Function,
    /// The name of the event in the template.
    pub name: String,
    /// The time between two invocations.
    pub interval: Duration,
}

impl Template {
    /// The enabled `Schedule` events.
    ///
    /// # Errors
    ///
    /// When an event cannot be resolved, or has no `rate`: `cron` is not supported.
    pub fn schedules(&self) -> Result<Vec<Schedule>, TemplateError> {
        let functions = self.functions()?;
        let mut schedules = Vec::new();
        for (function, (logical_id, resource)) in functions.into_iter().zip(self.enabled(FUNCTION)?) {
            let location = Location::resource(logical_id).key("Properties").key("Events");
            let properties = self.merged_properties(FUNCTION, resource);
            for (name, event) in properties.get("Events").and_then(Value::as_object).into_iter().flatten() {
                if event.get("Type").and_then(Value::as_str) != Some("Schedule") {
                    continue;
                }
                let location = location.key(name).key("Properties");
                let text = |key: &str| match event.pointer("/Properties").and_then(|event| event.get(key)) {
                    Some(value) => Ok(self.resolve(value, &location.key(key))?.as_ref().and_then(scalar_text)),
                    None => Ok(None),
                };
                if text("Enabled")?.as_deref() == Some("false") || text("State")?.as_deref() == Some("DISABLED") {
                    continue;
                }
                let interval = text("Schedule")?.as_deref().and_then(rate);
                let interval =
                    interval.ok_or_else(|| location.key("Schedule").malformed("of the form rate(5 minutes)"))?;
                schedules.push(Schedule { function: function.clone(), name: name.clone(), interval });
            }
        }
        Ok(schedules)
    }
}

/// Parses `rate(1 minute)` or `rate(5 minutes)`.
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
    fn rate_expressions_are_parsed_and_others_are_refused() {
        let seconds = |text| rate(text).map(|interval| interval.as_secs());
        assert_eq!(seconds("rate(1 minute)"), Some(60));
        assert_eq!(seconds("rate(5 minutes)"), Some(300));
        assert_eq!(seconds("rate(2 hours)"), Some(7_200));
        for bad in ["rate(0 minutes)", "rate(5 seconds)", "cron(0 12 * * ? *)", "5 minutes", "rate(minute)"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
