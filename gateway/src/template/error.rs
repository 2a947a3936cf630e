use std::path::PathBuf;

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
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not YAML.
    #[error("the template is not valid YAML: {0}")]
    Yaml(String),
    /// Something in the template has another form than it must have.
    #[error("{place} of the template must be {expected}")]
    Malformed {
        /// Where in the template.
        place: String,
        /// What should be there.
        expected: String,
    },
    /// A value was given for a parameter that the template does not declare.
    #[error("the template has no parameter {name}; it has: {}", list(known))]
    UnknownParameter {
        /// The name that was given.
        name: String,
        /// The names of the template's parameters.
        known: Vec<String>,
    },
    /// A parameter's value is not one that the template allows.
    #[error("{value:?} is not a value of the template's parameter {name}; allowed: {allowed}")]
    ParameterValue {
        /// The parameter.
        name: String,
        /// The value that it would have had.
        value: String,
        /// What the template allows.
        allowed: String,
    },
    /// A value is needed of a parameter that has no default.
    #[error("the template's parameter {name} has no default; give it a value, since {place} needs it")]
    MissingParameter {
        /// The parameter.
        name: String,
        /// Where in the template it is needed.
        place: String,
    },
    /// A reference leads nowhere.
    #[error(
        "{place} of the template refers to {name}, which is neither a parameter nor a resource nor a condition in use"
    )]
    UnknownReference {
        /// The name that was referred to.
        name: String,
        /// Where in the template.
        place: String,
    },
    /// An intrinsic function, or a form of one, that is not evaluated here.
    #[error("{place} of the template uses {name}, which has no local meaning")]
    UnsupportedIntrinsic {
        /// The intrinsic.
        name: String,
        /// Where in the template.
        place: String,
    },
    /// Two events or resources claim the same route.
    #[error("the route {route_key:?} is claimed by {first} and by {second}; remove one")]
    DuplicateRoute {
        /// The route key.
        route_key: String,
        /// Logical id of the function that has it.
        first: String,
        /// Logical id of the function that also wants it.
        second: String,
    },
    /// A route leads to something that is not a function of the template.
    #[error("{place} of the template leads to {target:?}, which is not a function of the template")]
    UnknownFunction {
        /// The target as it was resolved.
        target: String,
        /// Where in the template.
        place: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
