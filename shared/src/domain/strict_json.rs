//! JSON that every reader understands in the same way: no repeated keys, and no numbers that lose digits.
//!
//! Of a repeated key some parsers take the first value and some the last (RFC 8259, section 4). A number beyond ±(2^53 − 1)
//! changes in a client that reads numbers as doubles, as JavaScript does (section 6).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The largest number that a double and its neighbours represent exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// Reads JSON text and refuses repeated keys.
///
/// # Errors
///
/// The position of the first syntax error or repeated key.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(text).map(|Strict(value)| value)
}

/// The path and the value of the first number in the value at `path` that clients may read as another one.
pub(super) fn inexact_number(path: String, value: &Value) -> Option<(String, &Value)> {
    match value {
        Value::Number(number) => {
            let is_exact = number.as_f64().is_some_and(|number| number.abs() <= MAX_EXACT);
            (!is_exact).then_some((path, value))
        }
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(place, value)| inexact_number(format!("{path}[{place}]"), value))
        }
        Value::Object(values) => {
            values.iter().find_map(|(name, value)| inexact_number(format!("{path}.{name}"), value))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

/// A value whose objects have no repeated keys.
struct Strict(Value);

struct StrictVisitor;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if values.insert(name, value).is_some() {
                return Err(A::Error::custom("a key is repeated"));
            }
        }
        Ok(Value::Object(values))
    }
}
