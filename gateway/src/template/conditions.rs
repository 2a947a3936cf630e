//! `Conditions`, and the resources that depend on them.

use serde_json::Value;

use super::resolve::{Place, scalar_text};
use super::{Template, TemplateError};

/// More nested conditions than this are a circle.
const MAX_DEPTH: usize = 64;

impl Template {
    pub(super) fn is_present(&self, logical_id: &str, resource: &Value) -> Result<bool, TemplateError> {
        match resource.get("Condition").and_then(Value::as_str) {
            Some(name) => self.condition(name, &Place::root("Resources").key(logical_id).key("Condition"), 0),
            None => Ok(true),
        }
    }

    /// The value of the condition of this name.
    pub(super) fn condition(&self, name: &str, place: &Place, depth: usize) -> Result<bool, TemplateError> {
        let expression = self
            .conditions
            .get(name)
            .filter(|_| depth < MAX_DEPTH)
            .ok_or_else(|| TemplateError::UnknownReference { name: name.to_owned(), place: place.to_string() })?;
        self.evaluate(expression, &Place::root("Conditions").key(name), depth + 1)
    }

    fn evaluate(&self, expression: &Value, place: &Place, depth: usize) -> Result<bool, TemplateError> {
        let Some((name, argument)) = expression.as_object().and_then(|map| map.iter().next()) else {
            return Err(place.malformed("a condition function"));
        };
        let place = place.key(name);
        let operands = || argument.as_array().ok_or_else(|| place.malformed("a list"));
        match name.as_str() {
            "Condition" => {
                let name = argument.as_str().ok_or_else(|| place.malformed("the name of a condition"))?;
                self.condition(name, &place, depth)
            }
            "Fn::Equals" => match operands()?.as_slice() {
                [left, right] => {
                    let text = |value| -> Result<Value, TemplateError> {
                        let value = self.resolve_or_null(value, &place)?;
                        Ok(scalar_text(&value).map_or(value, Value::String))
                    };
                    Ok(text(left)? == text(right)?)
                }
                _ => Err(place.malformed("a list of two values")),
            },
            "Fn::Not" => match operands()?.as_slice() {
                [operand] => Ok(!self.evaluate(operand, &place, depth)?),
                _ => Err(place.malformed("a list of one condition")),
            },
            "Fn::And" => {
                operands()?.iter().try_fold(true, |all, operand| Ok(self.evaluate(operand, &place, depth)? && all))
            }
            "Fn::Or" => {
                operands()?.iter().try_fold(false, |any, operand| Ok(self.evaluate(operand, &place, depth)? || any))
            }
            _ => Err(place.unsupported(name)),
        }
    }
}
