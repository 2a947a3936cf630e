//! Items as they are stored: attributes, and the version of their layout in `v`.
//!
//! While a stack is being updated, functions of two releases work on the same items. So layouts only grow: a release may
//! add attributes that the release before ignores, and it reads items that lack them. Any other change needs a new
//! version, in two releases: the first reads both versions and writes the old one, the second writes the new one. A read
//! refuses a version above its own with [`StorageError::Newer`]; a retry may reach a function of the new release. Writes
//! do not check the version. `docs/OPERATIONS.md` says which changes are allowed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

use super::error::StorageError;

/// The attributes of an item, or the values of an expression.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The layout that this release writes, and the newest that it reads. Items without `v` have the first layout.
const VERSION: u32 = 1;

const VERSION_ATTRIBUTE: &str = "v";

/// The start of an update expression that may create the item, with [`version`] as `:v`.
pub(super) const SET_VERSION: &str = "SET v = if_not_exists(v, :v)";

/// The version as it is stored.
pub(super) fn version() -> AttributeValue {
    number(VERSION)
}

/// A string attribute.
pub(super) fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number attribute.
pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A set of strings. DynamoDB has no empty sets.
pub(super) fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::Ss(values.into_iter().map(str::to_owned).collect())
}

/// The string in an attribute; `None` when it is missing or of another type.
pub(super) fn text_of<'a>(item: &'a Item, attribute: &str) -> Option<&'a str> {
    item.get(attribute)?.as_s().ok().map(String::as_str)
}

/// Serializes an item, without its key.
///
/// # Errors
///
/// [`StorageError::Unreadable`] when DynamoDB cannot represent the value.
#[expect(clippy::disallowed_methods, reason = "everywhere else, the version would be missing")]
pub(super) fn to_item(value: impl Serialize) -> Result<Item, StorageError> {
    let mut item: Item = serde_dynamo::to_item(value)?;
    item.insert(VERSION_ATTRIBUTE.to_owned(), version());
    Ok(item)
}

/// Deserializes an item.
///
/// # Errors
///
/// [`StorageError::Newer`] when a later release wrote the item, [`StorageError::Unreadable`] when an attribute is
/// missing or wrong.
#[expect(clippy::disallowed_methods, reason = "everywhere else, the version would be ignored")]
pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, StorageError> {
    let found = item.get(VERSION_ATTRIBUTE).and_then(|version| version.as_n().ok()?.parse().ok()).unwrap_or(1);
    if found > VERSION {
        return Err(StorageError::Newer { found, known: VERSION });
    }
    Ok(serde_dynamo::from_item(item)?)
}

/// Serializes one value of an expression.
///
/// # Errors
///
/// [`StorageError::Unreadable`] when DynamoDB cannot represent the value.
pub(super) fn to_value(value: impl Serialize) -> Result<AttributeValue, StorageError> {
    Ok(serde_dynamo::to_attribute_value(value)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        name: String,
    }

    fn record() -> Record {
        Record { name: "x".to_owned() }
    }

    #[test]
    fn item_is_written_with_its_layout_version() {
        let item = to_item(record()).expect("it fits");
        assert_eq!(item[VERSION_ATTRIBUTE], AttributeValue::N("1".to_owned()));
        assert_eq!(from_item::<Record>(item).expect("a record"), record());
    }

    #[test]
    fn added_attribute_is_ignored_and_newer_version_is_refused() {
        let mut item = to_item(record()).expect("it fits");
        item.insert("colour".to_owned(), text("blue"));
        assert_eq!(from_item::<Record>(item.clone()).expect("a record"), record());

        item.insert(VERSION_ATTRIBUTE.to_owned(), number(2));
        let refused = from_item::<Record>(item.clone()).expect_err("another layout");
        assert!(matches!(refused, StorageError::Newer { found: 2, known: 1 }), "{refused:?}");

        item.remove(VERSION_ATTRIBUTE);
        assert_eq!(from_item::<Record>(item).expect("an item from before versions"), record());
    }
}
