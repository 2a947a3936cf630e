//! Validates input field by field, so that every error names its field.

use serde_json::Map;
/// A JSON value.
pub use serde_json::Value;

use crate::domain::{
    error::{ApiError, Code},
    strict_json,
};

/// Which numbers are allowed.
const EXACT_NUMBERS: &str = "a number from -9007199254740991 to 9007199254740991, or as text";

/// A type that can be read from input.
pub trait Field: Sized {
    /// What is allowed; completes the sentence "Send `field` as …".
    const ALLOWED: &'static str;

    /// Reads a value; `None` when it is not allowed.
    fn read(value: &Value) -> Option<Self>;
}

/// The fields of a JSON object or a query string. Callers take fields by name; the rest is unknown.
#[derive(Debug)]
pub struct Fields {
    values: Map<String, Value>,
    prefix: String,
    known: Vec<&'static str>,
}

impl Fields {
    /// Reads a JSON object.
    ///
    /// # Errors
    ///
    /// `INVALID_JSON`, with the position of the syntax error or of a repeated key.
    pub fn from_json(text: &[u8]) -> Result<Self, ApiError> {
        let invalid =
            |message: String| ApiError::new(Code::InvalidJson, message, "Send one JSON object, encoded in UTF-8.");
        match strict_json::parse(text) {
            Ok(Value::Object(values)) => Ok(Self::new(values, String::new())),
            Ok(_) => Err(invalid("This is JSON, but not an object.".to_owned())),
            Err(error) => Err(invalid(format!("This is not JSON: {error}."))),
        }
    }

    /// Reads the parameters of a query string or a path. A repeated parameter becomes an array, which no parameter
    /// accepts: repeated parameters are refused.
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
        Self { values, prefix, known: Vec::new() }
    }

    /// Takes a required field.
    ///
    /// # Errors
    ///
    /// `MISSING_PARAMETER`, `INVALID_PARAMETER`.
    pub fn required<T: Field>(&mut self, name: &'static str) -> Result<T, ApiError> {
        self.optional(name)?.ok_or_else(|| ApiError::missing_parameter(&self.path(name), T::ALLOWED))
    }

    /// Takes an optional field; `null` counts as absent.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`, also for a number in it that clients may read as another one.
    pub fn optional<T: Field>(&mut self, name: &'static str) -> Result<Option<T>, ApiError> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let path = self.path(name);
                let field = T::read(&value).ok_or_else(|| ApiError::invalid_parameter(&path, &value, T::ALLOWED))?;
                match strict_json::inexact_number(path, &value) {
                    None => Ok(Some(field)),
                    Some((path, number)) => Err(ApiError::invalid_parameter(&path, number, EXACT_NUMBERS)),
                }
            }
        }
    }

    /// Whether a field is present, also as `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Takes a field that distinguishes absent (`None`) from `null` (`Some(None)`).
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`.
    pub fn changed<T: Field>(&mut self, name: &'static str) -> Result<Option<Option<T>>, ApiError> {
        let sent = self.has(name);
        Ok(self.optional(name)?.map_or_else(|| sent.then_some(None), |value| Some(Some(value))))
    }

    /// Takes an optional object, to read its fields in turn.
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

    /// Checks that no unknown field is left.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_FIELD` with the first field that was not taken.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.values.keys().next() else {
            return Ok(());
        };
        let field: String = self.path(name).chars().take(128).collect();
        let allowed = match &self.known[..] {
            [] => "there are none".to_owned(),
            known => format!("known ones are: {}", known.join(", ")),
        };
        Err(ApiError::new(
            Code::UnknownField,
            format!("`{field}` is not a field here."),
            format!("Leave it out; {allowed}."),
        )
        .with_detail("field", field)
        .with_detail("allowed", self.known))
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.values.remove(name)
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chat::Metadata;

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
    fn only_json_objects_are_read() {
        for text in ["", "{", "[]", "\"x\"", "null", "{\"a\":1}}"] {
            assert_eq!(code(Fields::from_json(text.as_bytes())), Code::InvalidJson, "{text}");
        }
        assert_eq!(code(Fields::from_json(b"{\"a\":\"\xff\"}")), Code::InvalidJson);
    }

    #[test]
    fn repeated_keys_are_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"outer":{"b":1,"b":2}}"#,
            r#"{"list":[0,{"b":1,"c":2,"b":3}]}"#,
        ] {
            assert_eq!(code(Fields::from_json(text.as_bytes())), Code::InvalidJson, "{text}");
        }
        assert!(Fields::from_json(br#"{"a":{"b":1},"b":{"b":1}}"#).is_ok());
    }

    #[test]
    fn numbers_that_clients_may_read_as_others_are_refused() {
        let read = |metadata: &str| {
            let mut fields = Fields::from_json(format!(r#"{{"metadata":{metadata}}}"#).as_bytes())?;
            fields.required::<Metadata>("metadata")
        };
        for (text, field) in [
            (r#"{"n":9007199254740992}"#, "metadata.n"),
            (r#"{"n":-9007199254740992}"#, "metadata.n"),
            (r#"{"n":12345678901234567890}"#, "metadata.n"),
            (r#"{"n":123456789012345678901234567890}"#, "metadata.n"),
            (r#"{"n":1e300}"#, "metadata.n"),
            (r#"{"outer":{"list":[1,{"id":9007199254740993}]}}"#, "metadata.outer.list[1].id"),
        ] {
            let error = read(text).expect_err("a refusal");
            assert_eq!(error.code(), Code::InvalidParameter, "{text}");
            assert_eq!(error.to_json()["details"]["field"], field, "{text}");
        }
        assert!(read(r#"{"n":9007199254740991,"m":-9007199254740991,"x":0.1,"y":1e15,"z":-2.5e-3}"#).is_ok());
    }

    #[test]
    fn unknown_field_is_named_whatever_its_number() {
        assert_eq!(fields(r#"{"n":1e300}"#).finish().map_err(|error| error.code()), Err(Code::UnknownField));
    }

    #[test]
    fn fields_are_missing_invalid_or_valid() {
        assert_eq!(code(fields("{}").required::<Small>("n")), Code::MissingParameter);
        assert_eq!(code(fields("{\"n\":null}").required::<Small>("n")), Code::MissingParameter);
        assert_eq!(code(fields("{\"n\":10}").required::<Small>("n")), Code::InvalidParameter);
        assert!(fields("{\"n\":9}").required::<Small>("n").is_ok());
    }

    #[test]
    fn repeated_parameters_are_refused() {
        let mut query = Fields::from_pairs([("n", "1"), ("n", "2"), ("n", "3")]);
        let error = query.required::<Text>("n").err().expect("it is not one text");
        assert_eq!(
            (error.code(), error.to_json()["details"]["got"].as_str()),
            (Code::InvalidParameter, Some("[\"1\",\"2\",\"3\"]"))
        );
        assert!(Fields::from_pairs([("n", "1")]).required::<Text>("n").is_ok());
    }

    #[test]
    fn unknown_fields_are_reported_with_their_path() {
        let mut outer = fields("{\"inner\":{\"n\":1,\"typo\":2}}");
        let mut inner = outer.nested("inner").expect("readable").expect("there");
        assert!(inner.optional::<Small>("n").is_ok());
        let error = inner.finish().expect_err("typo is unknown");
        assert_eq!(error.code(), Code::UnknownField);
        assert_eq!(error.to_json()["details"]["field"], "inner.typo");
        assert!(outer.finish().is_ok());
    }
}
