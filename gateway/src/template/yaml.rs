//! Converts YAML to JSON. Short forms of intrinsic functions (`!Ref`, `!Sub`) become long ones (`Ref`, `Fn::Sub`).

use saphyr::{LoadableYamlNode, Scalar, Tag, Yaml};
use serde_json::{Map, Number, Value, json};

use super::{error::TemplateError, value::scalar_text};

/// The sections that are mappings, each with its entries in template order.
pub(super) struct Sections {
    sections: Vec<(String, Vec<(String, Value)>)>,
}

pub(super) fn json(yaml: &str) -> Result<Value, TemplateError> {
    convert(&root(yaml)?, "the root")
}

fn root(yaml: &str) -> Result<Yaml<'_>, TemplateError> {
    let documents = Yaml::load_from_str(yaml).map_err(|error| TemplateError::Yaml(error.to_string()))?;
    documents.into_iter().next().filter(Yaml::is_mapping).ok_or_else(|| malformed("the root", "a mapping"))
}

impl Sections {
    pub(super) fn parse(yaml: &str) -> Result<Self, TemplateError> {
        let Yaml::Mapping(root) = root(yaml)? else {
            return Err(malformed("the root", "a mapping"));
        };
        let mut sections = Vec::new();
        for (name, section) in &root {
            // Sections that are not mappings (Description, Transform) do not affect the gateway.
            if let Yaml::Mapping(section) = section {
                let name = key(name)?;
                let entries = section
                    .iter()
                    .map(|(entry, value)| Ok((key(entry)?, convert(value, &name)?)))
                    .collect::<Result<_, TemplateError>>()?;
                sections.push((name, entries));
            }
        }
        Ok(Self { sections })
    }

    pub(super) fn section(&self, name: &str) -> Result<Map<String, Value>, TemplateError> {
        Ok(self.entries(name).iter().cloned().collect())
    }

    /// A list, because a JSON map loses the order.
    pub(super) fn resources(&self) -> Result<Vec<(String, Value)>, TemplateError> {
        let resources = self.entries("Resources");
        if resources.is_empty() {
            return Err(malformed("Resources", "a mapping with at least one resource"));
        }
        match resources.iter().find(|(_, resource)| !resource.get("Type").is_some_and(Value::is_string)) {
            Some((logical_id, _)) => Err(malformed(&format!("Resources.{logical_id}"), "a mapping with a Type")),
            None => Ok(resources.to_vec()),
        }
    }

    fn entries(&self, name: &str) -> &[(String, Value)] {
        self.sections.iter().find(|(section, _)| section == name).map_or(&[], |(_, entries)| entries.as_slice())
    }
}

fn convert(yaml: &Yaml<'_>, location: &str) -> Result<Value, TemplateError> {
    Ok(match yaml {
        Yaml::Value(scalar) => convert_scalar(scalar),
        Yaml::Sequence(items) => {
            Value::Array(items.iter().map(|item| convert(item, location)).collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, value)| {
                    let name = key(name)?;
                    let value = convert(value, &format!("{location}.{name}"))?;
                    Ok((name, value))
                })
                .collect::<Result<_, TemplateError>>()?,
        ),
        Yaml::Tagged(tag, inner) => long_form(tag, convert(inner, location)?),
        Yaml::Representation(text, ..) => Value::String(text.to_string()),
        Yaml::Alias(_) | Yaml::BadValue => return Err(malformed(location, "a value that YAML can express")),
    })
}

fn convert_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(*value),
        Scalar::Integer(value) => json!(value),
        Scalar::FloatingPoint(value) => Number::from_f64(value.into_inner()).map_or(Value::Null, Value::Number),
        Scalar::String(value) => Value::String(value.to_string()),
    }
}

fn long_form(tag: &Tag, inner: Value) -> Value {
    let name = match tag.suffix.as_str() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    };
    let inner = match inner {
        Value::String(text) if name == "Fn::GetAtt" => match text.split_once('.') {
            Some((resource, attribute)) => json!([resource, attribute]),
            None => Value::String(text),
        },
        inner => inner,
    };
    json!({ name: inner })
}

fn key(yaml: &Yaml<'_>) -> Result<String, TemplateError> {
    match yaml {
        Yaml::Value(scalar) => scalar_text(&convert_scalar(scalar)),
        _ => None,
    }
    .ok_or_else(|| malformed("a key", "a string"))
}

fn malformed(location: &str, expected: &str) -> TemplateError {
    TemplateError::Malformed { location: location.to_owned(), expected: expected.to_owned() }
}
