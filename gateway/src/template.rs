//! A SAM template: what a gateway and its surroundings need to know of it.
//!
//! Intrinsics are resolved only where a value is asked for, so a template may hold some that mean nothing locally.

mod conditions;
mod error;
mod functions;
mod parameters;
mod resolve;
mod routes;
mod schedules;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

pub use error::TemplateError;
pub use functions::Function;
pub use routes::{HttpRoute, WebSocketApi, WebSocketRoute};
pub use schedules::Schedule;

use resolve::Place;

/// A parsed SAM template together with the values of its parameters.
#[derive(Debug, Clone)]
pub struct Template {
    /// In the order of the template.
    resources: Vec<(String, Value)>,
    parameters: BTreeMap<String, parameters::Parameter>,
    conditions: Map<String, Value>,
    mappings: Map<String, Value>,
    globals: Map<String, Value>,
}

/// A resource whose condition, if it has one, holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Resource {
    /// Its name in the template.
    pub logical_id: String,
    /// `Properties`, with the template's `Globals` merged in and intrinsics resolved. A reference to a resource is that
    /// resource's logical id.
    pub properties: Value,
    /// `Metadata`, with intrinsics resolved; null if there is none.
    pub metadata: Value,
}

impl Template {
    /// A template as JSON, which says the same: CloudFormation takes either. Intrinsics have their long forms.
    ///
    /// # Errors
    ///
    /// When the text is not a template.
    pub fn json(yaml: &str) -> Result<Value, TemplateError> {
        yaml::json(yaml)
    }

    /// Reads and parses the template at `path`. See [`Template::parse`].
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as [`Template::parse`] does.
    pub fn load(path: &Path, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let yaml =
            std::fs::read_to_string(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        Self::parse(&yaml, parameters)
    }

    /// Parses a template. `parameters` take the place of the defaults of the template's own.
    ///
    /// # Errors
    ///
    /// When the text is not a template, when it has no parameter of a given name, or when a value is not allowed.
    pub fn parse(yaml: &str, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let document = yaml::Document::parse(yaml)?;
        let declared = document.section("Parameters")?;
        Ok(Self {
            resources: document.resources()?,
            parameters: parameters::values(&declared, parameters)?,
            conditions: document.section("Conditions")?,
            mappings: document.section("Mappings")?,
            globals: document.section("Globals")?,
        })
    }

    /// The resources of a type, such as `AWS::DynamoDB::Table`, in the order of the template.
    ///
    /// # Errors
    ///
    /// When a value in one of them cannot be resolved.
    pub fn resources(&self, resource_type: &str) -> Result<Vec<Resource>, TemplateError> {
        self.present(resource_type)?
            .into_iter()
            .map(|(logical_id, resource)| {
                let place = Place::root("Resources").key(logical_id);
                let properties = self.merged_properties(resource_type, resource);
                let metadata = resource.get("Metadata").unwrap_or(&Value::Null);
                Ok(Resource {
                    logical_id: logical_id.to_owned(),
                    properties: self.resolve_or_null(&properties, &place.key("Properties"))?,
                    metadata: self.resolve_or_null(metadata, &place.key("Metadata"))?,
                })
            })
            .collect()
    }

    /// The resources of a type whose conditions hold, as they are written.
    fn present(&self, resource_type: &str) -> Result<Vec<(&str, &Value)>, TemplateError> {
        let mut present = Vec::new();
        for (logical_id, resource) in &self.resources {
            let of_type = resource.get("Type").and_then(Value::as_str) == Some(resource_type);
            if of_type && self.is_present(logical_id, resource)? {
                present.push((logical_id.as_str(), resource));
            }
        }
        Ok(present)
    }

    fn resource(&self, logical_id: &str) -> Option<&Value> {
        self.resources.iter().find(|(id, _)| id == logical_id).map(|(_, resource)| resource)
    }

    /// Properties as they are written, with the `Globals` of the resource's kind merged in.
    fn merged_properties(&self, resource_type: &str, resource: &Value) -> Value {
        let own = resource.get("Properties").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        match resource_type.strip_prefix("AWS::Serverless::").and_then(|kind| self.globals.get(kind)) {
            Some(globals) => functions::merge(globals, own),
            None => own,
        }
    }
}
