//! Reading what callers send, field by field, so that every mistake gets an error that names it.

use serde_json::Map;
/// What a caller can send: JSON.
pub use serde_json::Value;

use crate::domain::error::{ApiError, Code};

/// A value that a caller can send: what it may be, and how it is read.
pub trait Field: Sized {
    /// What is allowed, in words that follow "Send `field` as".
    const ALLOWED: &'static str;

    /// Reads the value; `None` when it is not allowed.
    fn read(value: &Value) -> Option<Self>;
}

/// The fields of one JSON object or one query string. Each is taken by name; what is left at the end is unknown.
#[derive(Debug)]
pub struct Fields {
    values: Map<String, Value>,
    prefix: String,
    asked: Vec<&'static str>,
}

impl Fields {
    /// Reads a JSON object.
    ///
    /// # Errors
    ///
    /// `INVALID_JSON`, with the place where it stops being JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, ApiError> {
        let invalid =
            |message: String| ApiError::new(Code::InvalidJson, message, "Send one JSON object, encoded in UTF-8.");
        match serde_json::from_slice(text) {
            Ok(Value::Object(values)) => Ok(Self::new(values, String::new())),
            Ok(_) => Err(invalid("This is JSON, but not an object.".to_owned())),
            Err(error) => Err(invalid(format!("This is not JSON: {error}."))),
        }
    }

    /// Takes the parameters of a query string, or of a path. One that was sent twice is an array of its values, which no
    /// parameter may be, so that nobody has to guess which of them counts.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut values = Map::new();
        for (name, value) in pairs {
            let value = Value::from(value);
            match values.get_mut(name) {
                None => drop(values.insert(name.to_owned(), value)),
                Some(Value::Array(sent)) => sent.push(value),
                Some(sent) => *sent = Value::Array(vec![sent.take(), value]),
            }
        }
        Self::new(values, String::new())
    }

    fn new(values: Map<String, Value>, prefix: String) -> Self {
        Self { values, prefix, asked: Vec::new() }
    }

    /// Takes a field that must be there.
    ///
    /// # Errors
    ///
    /// `MISSING_PARAMETER`, `INVALID_PARAMETER`.
    pub fn required<T: Field>(&mut self, name: &'static str) -> Result<T, ApiError> {
        self.optional(name)?.ok_or_else(|| ApiError::missing_parameter(&self.path(name), T::ALLOWED))
    }

    /// Takes a field that may be left out, or be `null`, which is the same.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn optional<T: Field>(&mut self, name: &'static str) -> Result<Option<T>, ApiError> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::read(&value)
                .map(Some)
                .ok_or_else(|| ApiError::invalid_parameter(&self.path(name), &value, T::ALLOWED)),
        }
    }

    /// Whether a field was sent, be it as `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Takes a field where it matters whether it was left out (`None`) or is `null` (`Some(None)`).
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn changed<T: Field>(&mut self, name: &'static str) -> Result<Option<Option<T>>, ApiError> {
        let sent = self.has(name);
        Ok(self.optional(name)?.map_or_else(|| sent.then_some(None), |value| Some(Some(value))))
    }

    /// Takes an object that may be left out, to read its fields in turn.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` when it is not an object.
    pub fn nested(&mut self, name: &'static str) -> Result<Option<Self>, ApiError> {
        let path = self.path(name);
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Self::new(values, format!("{path}.")))),
            Some(value) => Err(ApiError::invalid_parameter(&path, &value, "an object")),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_FIELD` for a field that nobody asked for.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.values.keys().next() else {
            return Ok(());
        };
        let field: String = self.path(name).chars().take(128).collect();
        let known = match &self.asked[..] {
            [] => "there are none".to_owned(),
            asked => format!("known ones are: {}", asked.join(", ")),
        };
        Err(ApiError::new(
            Code::UnknownField,
            format!("`{field}` is not a field here."),
            format!("Leave it out; {known}."),
        )
        .with_detail("field", field)
        .with_detail("allowed", self.asked))
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.values.remove(name)
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Small;

    impl Field for Small {
        const ALLOWED: &'static str = "a number below 10";

        fn read(value: &Value) -> Option<Self> {
            (value.as_u64()? < 10).then_some(Self)
        }
    }

    struct Text;

    impl Field for Text {
        const ALLOWED: &'static str = "a text";

        fn read(value: &Value) -> Option<Self> {
            value.as_str().map(|_| Self)
        }
    }

    fn code<T>(result: Result<T, ApiError>) -> Code {
        result.err().map(|error| error.code()).expect("an error")
    }

    fn fields(text: &str) -> Fields {
        Fields::from_json(text.as_bytes()).expect("an object")
    }

    #[test]
    fn what_is_not_an_object_is_not_read() {
        for text in ["", "{", "[]", "\"x\"", "null", "{\"a\":1}}"] {
            assert_eq!(code(Fields::from_json(text.as_bytes())), Code::InvalidJson, "{text}");
        }
        assert_eq!(code(Fields::from_json(b"{\"a\":\"\xff\"}")), Code::InvalidJson);
    }

    #[test]
    fn a_field_is_missing_or_wrong_or_there() {
        assert_eq!(code(fields("{}").required::<Small>("n")), Code::MissingParameter);
        assert_eq!(code(fields("{\"n\":null}").required::<Small>("n")), Code::MissingParameter);
        assert_eq!(code(fields("{\"n\":10}").required::<Small>("n")), Code::InvalidParameter);
        assert!(fields("{\"n\":9}").required::<Small>("n").is_ok());
    }

    #[test]
    fn a_parameter_that_is_sent_twice_is_refused() {
        let mut query = Fields::from_pairs([("n", "1"), ("n", "2"), ("n", "3")]);
        let error = query.required::<Text>("n").err().expect("it is not one text");
        assert_eq!(
            (error.code(), error.to_json()["details"]["got"].as_str()),
            (Code::InvalidParameter, Some("[\"1\",\"2\",\"3\"]"))
        );
        assert!(Fields::from_pairs([("n", "1")]).required::<Text>("n").is_ok());
    }

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        let mut outer = fields("{\"inner\":{\"n\":1,\"typo\":2}}");
        let mut inner = outer.nested("inner").expect("readable").expect("there");
        assert!(inner.optional::<Small>("n").is_ok());
        let error = inner.finish().expect_err("typo is unknown");
        assert_eq!(error.code(), Code::UnknownField);
        assert_eq!(error.to_json()["details"]["field"], "inner.typo");
        assert!(outer.finish().is_ok());
    }
}
