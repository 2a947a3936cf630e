//! Reading variables, and collecting what is wrong with them.

use std::{collections::HashMap, fmt};

use super::{
    error::{ConfigError, Problem},
    variables::Variable,
};

/// The environment as it is when a function starts, what has been read of it, and what was wrong with that.
#[derive(Default)]
pub struct Environment {
    values: HashMap<String, String>,
    read: Vec<&'static Variable>,
    problems: Vec<Problem>,
}

/// The names alone: a value may be a key.
impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        let values = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { values: values.collect(), ..Self::default() }
    }
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self { values: std::env::vars().collect(), ..Self::default() }
    }

    /// The text of a variable that must be set.
    pub fn text(&mut self, variable: &'static Variable) -> Option<String> {
        self.required(variable, |text| Some(text.to_owned()))
    }

    /// A variable that must be set, and that `parse` must accept.
    pub fn required<T>(&mut self, variable: &'static Variable, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.optional(variable, parse)?;
        if value.is_none() {
            self.problems.push(Problem::Missing(variable));
        }
        value
    }

    /// A variable that may be left out, and that `parse` must accept otherwise. The outer `None` is an invalid one.
    pub fn optional<T>(
        &mut self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(text) = self.optional_text(variable) else { return Some(None) };
        let value = parse(&text);
        if value.is_none() {
            self.problems.push(Problem::Invalid(variable));
        }
        value.map(Some)
    }

    /// The text of a variable that may be left out. A template cannot leave one out, so an empty one counts as unset.
    pub fn optional_text(&mut self, variable: &'static Variable) -> Option<String> {
        self.read.push(variable);
        self.values.get(variable.name).filter(|value| !value.is_empty()).cloned()
    }

    /// The variables that were read.
    pub(super) fn into_variables(self) -> Vec<&'static Variable> {
        self.read
    }

    /// The configuration, unless something was wrong.
    pub(super) fn finish<C>(self, config: Option<C>) -> Result<C, ConfigError> {
        config.ok_or(ConfigError::new(self.problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::config::variables::{CHATS_TABLE, CONTEXT_TOKENS, OPENAI_API_KEY};

    #[test]
    fn empty_variable_counts_as_unset() {
        let mut environment = Environment::from_iter([("CHATS_TABLE", ""), ("CONTEXT_TOKENS", "")]);
        assert_eq!(environment.text(&CHATS_TABLE), None);
        assert_eq!(environment.optional(&CONTEXT_TOKENS, |text| text.parse::<u32>().ok()), Some(None));
        assert_eq!(environment.problems, [Problem::Missing(&CHATS_TABLE)]);
    }

    #[test]
    fn reading_is_recorded() {
        let mut environment = Environment::default();
        environment.text(&CHATS_TABLE);
        environment.optional_text(&OPENAI_API_KEY);
        assert_eq!(environment.into_variables(), [&CHATS_TABLE, &OPENAI_API_KEY]);
    }

    #[test]
    fn debug_output_has_names_and_no_values() {
        let environment = Environment::from_iter([("OPENAI_API_KEY", "sk-secret")]);
        let printed = format!("{environment:?}");
        assert!(printed.contains("OPENAI_API_KEY") && !printed.contains("sk-secret"), "{printed}");
    }
}
