//! `AWS::Serverless::Function`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::resolve::{Place, intrinsic, scalar_text};
use super::{Template, TemplateError};

pub(super) const FUNCTION: &str = "AWS::Serverless::Function";

/// Lambda's own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// A Lambda function of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its name in the template.
    pub logical_id: String,
    /// The name to invoke it by: the binary that `Metadata` says it is built from, else its `FunctionName`, else its
    /// logical id.
    pub name: String,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Its environment variables, those of `Globals` included.
    pub environment: BTreeMap<String, String>,
}

impl Template {
    /// The functions, in the order of the template, with `Globals.Function` merged in.
    ///
    /// # Errors
    ///
    /// When a name, timeout or environment cannot be resolved. Other properties are not looked at.
    pub fn functions(&self) -> Result<Vec<Function>, TemplateError> {
        self.present(FUNCTION)?.into_iter().map(|(logical_id, resource)| self.function(logical_id, resource)).collect()
    }

    fn function(&self, logical_id: &str, resource: &Value) -> Result<Function, TemplateError> {
        let place = Place::root("Resources").key(logical_id);
        let properties = self.merged_properties(FUNCTION, resource);
        let place_of = |key: &str| place.key("Properties").key(key);
        let property = |key: &str| match properties.get(key) {
            Some(value) => self.resolve(value, &place_of(key)),
            None => Ok(None),
        };
        let binary = resource.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
        let name = match binary {
            Some(binary) => Some(binary.to_owned()),
            None => property("FunctionName")?.as_ref().and_then(scalar_text),
        };
        let timeout = match property("Timeout")? {
            Some(value) => Duration::from_secs(
                scalar_text(&value)
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(|| place_of("Timeout").malformed("a number of seconds"))?,
            ),
            None => DEFAULT_TIMEOUT,
        };
        let environment = match property("Environment")? {
            Some(environment) => variables(&environment, &place_of("Environment").key("Variables"))?,
            None => BTreeMap::new(),
        };
        Ok(Function {
            logical_id: logical_id.to_owned(),
            name: name.unwrap_or_else(|| logical_id.to_owned()),
            timeout,
            environment,
        })
    }
}

fn variables(environment: &Value, place: &Place) -> Result<BTreeMap<String, String>, TemplateError> {
    let Some(variables) = environment.get("Variables").and_then(Value::as_object) else {
        return Ok(BTreeMap::new());
    };
    variables
        .iter()
        .map(|(name, value)| {
            let value = scalar_text(value).ok_or_else(|| place.key(name).malformed("a string"))?;
            Ok((name.clone(), value))
        })
        .collect()
}

/// Merges as SAM does: maps deeply, lists one after the other, anything else is overridden.
/// <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>
pub(super) fn merge(global: &Value, local: Value) -> Value {
    match (global, local) {
        (Value::Object(global), Value::Object(local)) if intrinsic(global).is_none() && intrinsic(&local).is_none() => {
            let mut merged: Map<_, _> = global.clone();
            for (key, value) in local {
                let value = match global.get(&key) {
                    Some(global) => merge(global, value),
                    None => value,
                };
                merged.insert(key, value);
            }
            Value::Object(merged)
        }
        (Value::Array(global), Value::Array(local)) => global.iter().cloned().chain(local).collect(),
        (_, local) => local,
    }
}
