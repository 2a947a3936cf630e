//! `Conditions`: evaluation, and which resources they enable.

use serde_json::Value;

use super::{document::Template, error::TemplateError, location::Location, value::scalar_text};

/// Deeper nesting is taken for a circular reference.
const MAX_DEPTH: usize = 64;

impl Template {
    pub(super) fn is_enabled(&self, logical_id: &str, resource: &Value) -> Result<bool, TemplateError> {
        match resource.get("Condition").and_then(Value::as_str) {
            Some(name) => self.condition(name, &Location::resource(logical_id).key("Condition"), 0),
            None => Ok(true),
        }
    }

    pub(super) fn condition(&self, name: &str, location: &Location, depth: usize) -> Result<bool, TemplateError> {
        let expression =
            self.conditions.get(name).filter(|_| depth < MAX_DEPTH).ok_or_else(|| location.unknown(name))?;
        self.evaluate(expression, &Location::section("Conditions").key(name), depth + 1)
    }

    fn evaluate(&self, expression: &Value, location: &Location, depth: usize) -> Result<bool, TemplateError> {
        let Some((name, argument)) = expression.as_object().and_then(|map| map.iter().next()) else {
            return Err(location.malformed("a condition function"));
        };
        let location = location.key(name);
        let operands = || argument.as_array().ok_or_else(|| location.malformed("a list"));
        match name.as_str() {
            "Condition" => {
                let name = argument.as_str().ok_or_else(|| location.malformed("the name of a condition"))?;
                self.condition(name, &location, depth)
            }
            "Fn::Equals" => match operands()?.as_slice() {
                [left, right] => {
                    let text = |value| -> Result<Value, TemplateError> {
                        let value = self.resolve_or_null(value, &location)?;
                        Ok(scalar_text(&value).map_or(value, Value::String))
                    };
                    Ok(text(left)? == text(right)?)
                }
                _ => Err(location.malformed("a list of two values")),
            },
            "Fn::Not" => match operands()?.as_slice() {
                [operand] => Ok(!self.evaluate(operand, &location, depth)?),
                _ => Err(location.malformed("a list of one condition")),
            },
            "Fn::And" => {
                operands()?.iter().try_fold(true, |all, operand| Ok(self.evaluate(operand, &location, depth)? && all))
            }
            "Fn::Or" => {
                operands()?.iter().try_fold(false, |any, operand| Ok(self.evaluate(operand, &location, depth)? || any))
            }
            _ => Err(location.unsupported(name)),
        }
    }
}
