//! Resources of a given type.

use serde_json::Value;

use super::{document::Template, error::TemplateError, location::Location};

/// A resource whose `Condition`, if any, is true.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Resource {
    /// Its name in the template.
    pub logical_id: String,
    /// `Properties`, with `Globals` merged in and intrinsic functions resolved. A reference to a resource resolves to
    /// the logical id of that resource.
    pub properties: Value,
    /// `Metadata`, with intrinsic functions resolved; null if absent.
    pub metadata: Value,
}

impl Template {
    /// The resources of a type, such as `AWS::DynamoDB::Table`, in template order.
    ///
    /// # Errors
    ///
    /// When one of their values cannot be resolved.
    pub fn resources(&self, resource_type: &str) -> Result<Vec<Resource>, TemplateError> {
        self.enabled(resource_type)?
            .into_iter()
            .map(|(logical_id, resource)| {
                let location = Location::resource(logical_id);
                let properties = self.merged_properties(resource_type, resource);
                let metadata = resource.get("Metadata").unwrap_or(&Value::Null);
                Ok(Resource {
                    logical_id: logical_id.to_owned(),
                    properties: self.resolve_or_null(&properties, &location.key("Properties"))?,
                    metadata: self.resolve_or_null(metadata, &location.key("Metadata"))?,
                })
            })
            .collect()
    }

    /// The unresolved resources of a type whose conditions are true.
    pub(super) fn enabled(&self, resource_type: &str) -> Result<Vec<(&str, &Value)>, TemplateError> {
        let mut enabled = Vec::new();
        for (logical_id, resource) in &self.resources {
            let has_type = resource.get("Type").and_then(Value::as_str) == Some(resource_type);
            if has_type && self.is_enabled(logical_id, resource)? {
                enabled.push((logical_id.as_str(), resource));
            }
        }
        Ok(enabled)
    }
}
