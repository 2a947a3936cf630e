//! JSON values as CloudFormation reads them.

use serde_json::{Map, Value};

/// The string that CloudFormation makes of a string, number or boolean.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Name and argument, if this mapping is a call of an intrinsic function.
pub(super) fn intrinsic(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    match map.iter().next() {
        Some((name, argument)) if map.len() == 1 && (name == "Ref" || name.starts_with("Fn::")) => {
            Some((name, argument))
        }
        _ => None,
    }
}
