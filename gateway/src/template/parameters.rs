//! `Parameters`: declarations, given values, and checks of one against the other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{error::TemplateError, value::scalar_text};

#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// `None` without a given value and without a default.
    pub(super) value: Option<String>,
    pub(super) is_list: bool,
}

impl Parameter {
    pub(super) fn resolved(&self) -> Option<Value> {
        let value = self.value.as_ref()?;
        Some(if self.is_list {
            value.split(',').map(|item| Value::String(item.trim().to_owned())).collect()
        } else {
            Value::String(value.clone())
        })
    }
}

pub(super) fn values(
    declared: &Map<String, Value>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Parameter>, TemplateError> {
    if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
        return Err(TemplateError::UnknownParameter { name: name.clone(), known: declared.keys().cloned().collect() });
    }
    declared
        .iter()
        .map(|(name, declaration)| {
            let value = given.get(name).cloned().or_else(|| declaration.get("Default").and_then(scalar_text));
            if let Some(value) = &value {
                check_allowed(name, value, declaration)?;
            }
            Ok((name.clone(), Parameter { value, is_list: is_list(declaration) }))
        })
        .collect()
}

fn is_list(declaration: &Value) -> bool {
    let kind = text(declaration, "Type");
    kind == "CommaDelimitedList" || kind.starts_with("List<")
}

fn text<'a>(declaration: &'a Value, key: &str) -> &'a str {
    declaration.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn check_allowed(name: &str, value: &str, declaration: &Value) -> Result<(), TemplateError> {
    let refuse = |allowed: String| {
        Err(TemplateError::ParameterValue { name: name.to_owned(), value: value.to_owned(), allowed })
    };
    if let Some(allowed) = declaration.get("AllowedValues").and_then(Value::as_array) {
        let allowed: Vec<_> = allowed.iter().filter_map(scalar_text).collect();
        let items: Vec<_> = if is_list(declaration) { value.split(',').map(str::trim).collect() } else { vec![value] };
        if !items.iter().all(|item| allowed.iter().any(|allowed| allowed == item)) {
            return refuse(allowed.join(", "));
        }
    }
    if text(declaration, "Type") == "Number" {
        let bound = |key| declaration.get(key).and_then(scalar_text).and_then(|text| text.parse::<f64>().ok());
        let (min, max) = (bound("MinValue"), bound("MaxValue"));
        let Ok(number) = value.parse::<f64>() else {
            return refuse("numbers".to_owned());
        };
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            let min = min.map_or_else(String::new, |min| format!(" from {min}"));
            let max = max.map_or_else(String::new, |max| format!(" to {max}"));
            return refuse(format!("numbers{min}{max}"));
        }
    }
    Ok(())
}
