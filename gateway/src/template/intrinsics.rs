//! Evaluation of intrinsic functions, with local values for pseudo parameters, names and ARNs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    document::Template,
    error::TemplateError,
    location::Location,
    value::{intrinsic, scalar_text},
};

impl Template {
    pub(super) fn resolve_or_null(&self, value: &Value, location: &Location) -> Result<Value, TemplateError> {
        Ok(self.resolve(value, location)?.unwrap_or(Value::Null))
    }

    /// The value with its intrinsic functions evaluated; `None` for `AWS::NoValue`.
    pub(super) fn resolve(&self, value: &Value, location: &Location) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Object(map) => match intrinsic(map) {
                Some((name, argument)) => self.call(name, argument, location),
                None => {
                    let mut resolved = Map::new();
                    for (key, value) in map {
                        if let Some(value) = self.resolve(value, &location.key(key))? {
                            resolved.insert(key.clone(), value);
                        }
                    }
                    Ok(Some(Value::Object(resolved)))
                }
            },
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    resolved.extend(self.resolve(item, &location.index(index))?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            scalar => Ok(Some(scalar.clone())),
        }
    }

    fn call(&self, name: &str, argument: &Value, location: &Location) -> Result<Option<Value>, TemplateError> {
        match name {
            "Ref" => {
                let name = argument.as_str().ok_or_else(|| location.malformed("a Ref with a name"))?;
                self.reference(name, location)
            }
            "Fn::If" => match argument.as_array().map(Vec::as_slice) {
                Some([Value::String(condition), then, otherwise]) => {
                    let branch = if self.condition(condition, location, 0)? { then } else { otherwise };
                    self.resolve(branch, location)
                }
                _ => Err(location.malformed("an If with a condition and two values")),
            },
            "Fn::Sub" => self.substitute(argument, location).map(|text| Some(Value::String(text))),
            "Fn::GetAtt" => match self.list(argument, location)?.as_deref() {
                Some([Value::String(resource), Value::String(attribute)]) => {
                    self.attribute(resource, attribute, location).map(|text| Some(Value::String(text)))
                }
                _ => Err(location.malformed("a GetAtt with a resource and an attribute")),
            },
            "Fn::Join" => match self.list(argument, location)?.as_deref() {
                Some([Value::String(delimiter), Value::Array(items)]) => {
                    let items: Option<Vec<_>> = items.iter().map(scalar_text).collect();
                    let items = items.ok_or_else(|| location.malformed("a Join of strings"))?;
                    Ok(Some(Value::String(items.join(delimiter))))
                }
                _ => Err(location.malformed("a Join with a delimiter and a list")),
            },
            "Fn::Split" => match self.list(argument, location)?.as_deref() {
                Some([Value::String(delimiter), Value::String(text)]) if !delimiter.is_empty() => {
                    Ok(Some(text.split(delimiter.as_str()).map(Value::from).collect()))
                }
                _ => Err(location.malformed("a Split with a delimiter and a string")),
            },
            "Fn::Select" => match self.list(argument, location)?.as_deref() {
                Some([index, Value::Array(items)]) => scalar_text(index)
                    .and_then(|index| items.get(index.parse::<usize>().ok()?).cloned())
                    .map(Some)
                    .ok_or_else(|| location.malformed("a Select with the index of an item of its list")),
                _ => Err(location.malformed("a Select with an index and a list")),
            },
            "Fn::FindInMap" => match self.list(argument, location)?.as_deref() {
                Some([Value::String(map), Value::String(top), Value::String(second)]) => self
                    .mappings
                    .get(map)
                    .and_then(|map| map.get(top)?.get(second))
                    .cloned()
                    .map(Some)
                    .ok_or_else(|| location.unknown(&format!("{map}.{top}.{second}"))),
                _ => Err(location.malformed("a FindInMap with a map and two keys")),
            },
            "Fn::Base64" => match self.resolve(argument, location)? {
                Some(Value::String(text)) => Ok(Some(Value::String(STANDARD.encode(text)))),
                _ => Err(location.malformed("a Base64 of a string")),
            },
            _ => Err(location.unsupported(name)),
        }
    }

    fn list(&self, argument: &Value, location: &Location) -> Result<Option<Vec<Value>>, TemplateError> {
        match self.resolve(argument, location)? {
            Some(Value::Array(items)) => Ok(Some(items)),
            // The long form of GetAtt also takes "resource.attribute".
            Some(Value::String(text)) => {
                Ok(text.split_once('.').map(|(left, right)| vec![Value::from(left), Value::from(right)]))
            }
            _ => Ok(None),
        }
    }

    fn reference(&self, name: &str, location: &Location) -> Result<Option<Value>, TemplateError> {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(value) = pseudo_parameter(name) {
            return Ok(Some(Value::from(value)));
        }
        if let Some(parameter) = self.parameters.get(name) {
            return parameter.resolved().map(Some).ok_or_else(|| TemplateError::MissingParameter {
                name: name.to_owned(),
                location: location.to_string(),
            });
        }
        self.check_resource(name, location)?;
        Ok(Some(Value::from(name)))
    }

    /// Accepts the resources of the template, and those that SAM generates from them: their names have the same prefix.
    fn check_resource(&self, name: &str, location: &Location) -> Result<(), TemplateError> {
        let source = match self.resource(name) {
            Some(resource) => Some((name, resource)),
            None => self
                .resources
                .iter()
                .filter(|(id, resource)| name.starts_with(id.as_str()) && is_serverless(resource))
                .map(|(id, resource)| (id.as_str(), resource))
                .max_by_key(|(id, _)| id.len()),
        };
        match source {
            Some((id, resource)) if self.is_enabled(id, resource)? => Ok(()),
            None if matches!(name, "ServerlessHttpApi" | "ServerlessRestApi") => Ok(()),
            _ => Err(location.unknown(name)),
        }
    }

    fn attribute(&self, name: &str, attribute: &str, location: &Location) -> Result<String, TemplateError> {
        self.check_resource(name, location)?;
        let kind = self.resource(name).and_then(|resource| resource.get("Type")?.as_str()).unwrap_or_default();
        if attribute.ends_with("Arn") || attribute.ends_with("ARN") {
            Ok(arn(kind, name))
        } else if attribute.ends_with("Name") || attribute.ends_with("Id") {
            Ok(name.to_owned())
        } else {
            Err(location.unsupported(&format!("Fn::GetAtt {name}.{attribute}")))
        }
    }

    fn substitute(&self, argument: &Value, location: &Location) -> Result<String, TemplateError> {
        let (template, variables) = match argument {
            Value::String(template) => (template, None),
            Value::Array(items) => match items.as_slice() {
                [Value::String(template), Value::Object(variables)] => (template, Some(variables)),
                _ => return Err(location.malformed("a Sub with a string and a mapping")),
            },
            _ => return Err(location.malformed("a Sub with a string")),
        };
        let mut text = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| location.malformed("a Sub with a } for each ${"))?;
            text.push_str(before);
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                text.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = match (variables.and_then(|variables| variables.get(name)), name.split_once('.')) {
                (Some(value), _) => self.resolve(value, location)?,
                (None, Some((resource, attribute))) => {
                    Some(Value::from(self.attribute(resource, attribute, location)?))
                }
                (None, None) => self.reference(name.trim(), location)?,
            };
            let value = value.as_ref().and_then(scalar_text);
            text.push_str(&value.ok_or_else(|| location.malformed(&format!("a Sub with a string for {name}")))?);
        }
        text.push_str(rest);
        Ok(text)
    }
}

fn is_serverless(resource: &Value) -> bool {
    resource.get("Type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("AWS::Serverless::"))
}

fn pseudo_parameter(name: &str) -> Option<&'static str> {
    Some(match name {
        "AWS::AccountId" => "000000000000",
        "AWS::Partition" => "aws",
        "AWS::Region" => "us-east-1",
        "AWS::StackId" => "arn:aws:cloudformation:us-east-1:000000000000:stack/local/0",
        "AWS::StackName" => "local",
        "AWS::URLSuffix" => "amazonaws.com",
        _ => return None,
    })
}

/// An ARN that ends in the logical id.
fn arn(kind: &str, logical_id: &str) -> String {
    let (service, resource) = match kind {
        "AWS::Serverless::Function" | "AWS::Lambda::Function" => ("lambda", format!("function:{logical_id}")),
        "AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable" => ("dynamodb", format!("table/{logical_id}")),
        _ => {
            let service = kind.split("::").nth(1).unwrap_or("local");
            (service, logical_id.to_owned())
        }
    };
    format!("arn:aws:{}:us-east-1:000000000000:{resource}", service.to_lowercase())
}
