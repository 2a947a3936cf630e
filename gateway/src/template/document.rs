//! A parsed template: its sections, and the values of its parameters.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};

use super::{
    error::TemplateError,
    parameters::{self, Parameter},
    yaml::{self, Sections},
};

/// A parsed SAM template together with the values of its parameters.
#[derive(Debug, Clone)]
pub struct Template {
    /// In template order.
    pub(super) resources: Vec<(String, Value)>,
    pub(super) parameters: BTreeMap<String, Parameter>,
    pub(super) conditions: Map<String, Value>,
    pub(super) mappings: Map<String, Value>,
    pub(super) globals: Map<String, Value>,
}

impl Template {
    /// Converts a YAML template to the equivalent JSON template. Intrinsic functions get their long forms.
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
        let yaml = fs::read_to_string(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        Self::parse(&yaml, parameters)
    }

    /// Parses a template. `parameters` override the defaults that the template declares.
    ///
    /// # Errors
    ///
    /// When the text is not a template, when it does not declare one of the parameters, or when it does not allow a
    /// value.
    pub fn parse(yaml: &str, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let sections = Sections::parse(yaml)?;
        let declared = sections.section("Parameters")?;
        Ok(Self {
            resources: sections.resources()?,
            parameters: parameters::values(&declared, parameters)?,
            conditions: sections.section("Conditions")?,
            mappings: sections.section("Mappings")?,
            globals: sections.section("Globals")?,
        })
    }

    pub(super) fn resource(&self, logical_id: &str) -> Option<&Value> {
        self.resources.iter().find(|(id, _)| id == logical_id).map(|(_, resource)| resource)
    }
}
