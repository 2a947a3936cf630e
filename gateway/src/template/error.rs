//! Errors of templates.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a template, or a value in it, cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("failed to read the template {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The text is not YAML.
    #[error("the template is not valid YAML: {0}")]
    Yaml(String),
    /// A value has the wrong form.
    #[error("{location} of the template must be {expected}")]
    Malformed {
        /// Where in the template.
        location: String,
        /// The form that it must have.
        expected: String,
    },
    /// The caller sets a parameter that the template does not declare.
    #[error("the template has no parameter {name}; it has: {}", list(known))]
    UnknownParameter {
        /// The undeclared name.
        name: String,
        /// The names of the template's parameters.
        known: Vec<String>,
    },
    /// The template does not allow this value of a parameter.
    #[error("{value:?} is not a value of the template's parameter {name}; allowed: {allowed}")]
    ParameterValue {
        /// The parameter.
        name: String,
        /// The refused value.
        value: String,
        /// The values that the template allows.
        allowed: String,
    },
    /// A parameter in use has neither a value nor a default.
    #[error("the template's parameter {name} has no default; set it, because {location} uses it")]
    MissingParameter {
        /// The parameter.
        name: String,
        /// Where the template uses it.
        location: String,
    },
    /// A reference has no target.
    #[error("{location} of the template refers to {name}, which is not a parameter, a resource or a condition in use")]
    UnknownReference {
        /// The name in the reference.
        name: String,
        /// Where in the template.
        location: String,
    },
    /// An intrinsic function, or a form of one, that this crate does not evaluate.
    #[error("{location} of the template uses {name}, which cannot be resolved locally")]
    UnsupportedIntrinsic {
        /// The intrinsic function.
        name: String,
        /// Where in the template.
        location: String,
    },
    /// Two events declare the same route.
    #[error("the route {route_key:?} is declared by {first} and by {second}; remove one")]
    DuplicateRoute {
        /// The route key.
        route_key: String,
        /// Logical id of the function that declares it first.
        first: String,
        /// Logical id of the function that declares it again.
        second: String,
    },
    /// The target of a route is not a function of the template.
    #[error("{location} of the template has the target {target:?}, which is not a function of the template")]
    UnknownFunction {
        /// The resolved target.
        target: String,
        /// Where in the template.
        location: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
