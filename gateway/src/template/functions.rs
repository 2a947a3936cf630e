//! Resources of type `AWS::Serverless::Function`.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{document::Template, error::TemplateError, location::Location, value::scalar_text};

pub(super) const FUNCTION: &str = "AWS::Serverless::Function";

/// SAM's default.
/// <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html>
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// A Lambda function of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its name in the template.
    pub logical_id: String,
    /// The name in the Lambda Invoke API: `Metadata.BuildProperties.Binary`, else `FunctionName`, else the logical id.
    pub name: String,
    /// `Timeout`: the longest that an invocation may take.
    pub timeout: Duration,
    /// Environment variables, including those of `Globals`.
    pub environment: BTreeMap<String, String>,
}

impl Template {
    /// The functions in template order, with `Globals.Function` merged in.
    ///
    /// # Errors
    ///
    /// When a name, timeout or environment cannot be resolved. Other properties are not read.
    pub fn functions(&self) -> Result<Vec<Function>, TemplateError> {
        self.enabled(FUNCTION)?.into_iter().map(|(logical_id, resource)| self.function(logical_id, resource)).collect()
    }

    fn function(&self, logical_id: &str, resource: &Value) -> Result<Function, TemplateError> {
        let location = Location::resource(logical_id);
        let properties = self.merged_properties(FUNCTION, resource);
        let location_of = |key: &str| location.key("Properties").key(key);
        let property = |key: &str| match properties.get(key) {
            Some(value) => self.resolve(value, &location_of(key)),
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
                    .ok_or_else(|| location_of("Timeout").malformed("a number of seconds"))?,
            ),
            None => DEFAULT_TIMEOUT,
        };
        let environment = match property("Environment")? {
            Some(environment) => variables(&environment, &location_of("Environment").key("Variables"))?,
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

fn variables(environment: &Value, location: &Location) -> Result<BTreeMap<String, String>, TemplateError> {
    let Some(variables) = environment.get("Variables").and_then(Value::as_object) else {
        return Ok(BTreeMap::new());
    };
    variables
        .iter()
        .map(|(name, value)| {
            let value = scalar_text(value).ok_or_else(|| location.key(name).malformed("a string"))?;
            Ok((name.clone(), value))
        })
        .collect()
}
