//! Items as they are stored: what a type says, and the version of its layout.
//!
//! While a stack is being upgraded, functions of two releases work on the same items. So layouts only grow: a release
//! may add attributes that the one before it does not miss, and reads items that lack them. What cannot be done so gets
//! another version, in two releases: the first reads both and writes the old one, the second writes the new one. A
//! function that reads an item of a version beyond its own refuses it, instead of taking it for what it is not; whoever
//! asks again may meet a function of the new release. Writes do not look at the version. `docs/OPERATIONS.md` says what may
//! change and what may not.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};

use super::StorageError;

/// An item, or its key.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The layout that this release writes, and the newest one that it reads. Items from before it was noted are of the
/// first.
const VERSION: u32 = 1;

const ATTRIBUTE: &str = "v";

/// Part of an update that may make the item, with [`version`] as `:v`.
pub(super) const SET_VERSION: &str = "SET v = if_not_exists(v, :v)";

/// The version, as it is stored.
pub(super) fn version() -> AttributeValue {
    AttributeValue::N(VERSION.to_string())
}

/// An item without its key.
///
/// # Errors
///
/// [`StorageError::Unreadable`] when DynamoDB has no room for what the value holds.
#[expect(clippy::disallowed_methods, reason = "everywhere else, the version would be missing")]
pub(super) fn to_item(value: impl Serialize) -> Result<Item, StorageError> {
    let mut item: Item = serde_dynamo::to_item(value)?;
    item.insert(ATTRIBUTE.to_owned(), version());
    Ok(item)
}

/// What an item says.
///
/// # Errors
///
/// [`StorageError::Newer`] when its layout is one of a later release, [`StorageError::Unreadable`] when it is none.
#[expect(clippy::disallowed_methods, reason = "everywhere else, the version would be passed over")]
pub(super) fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, StorageError> {
    let found = item.get(ATTRIBUTE).and_then(|version| version.as_n().ok()?.parse().ok()).unwrap_or(1);
    if found > VERSION {
        return Err(StorageError::Newer { found, known: VERSION });
    }
    Ok(serde_dynamo::from_item(item)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing {
        name: String,
    }

    fn thing() -> Thing {
        Thing { name: "x".to_owned() }
    }

    #[test]
    fn an_item_says_which_layout_it_has() {
        let item = to_item(thing()).expect("it fits");
        assert_eq!(item[ATTRIBUTE], AttributeValue::N("1".to_owned()));
        assert_eq!(from_item::<Thing>(item).expect("it is one"), thing());
    }

    #[test]
    fn what_the_next_release_adds_is_passed_over_and_what_it_changes_is_refused() {
        let mut item = to_item(thing()).expect("it fits");
        item.insert("colour".to_owned(), AttributeValue::S("blue".to_owned()));
        assert_eq!(from_item::<Thing>(item.clone()).expect("it is still one"), thing());

        item.insert(ATTRIBUTE.to_owned(), AttributeValue::N("2".to_owned()));
        let refused = from_item::<Thing>(item.clone()).expect_err("it is another layout");
        assert!(matches!(refused, StorageError::Newer { found: 2, known: 1 }), "{refused:?}");

        item.remove(ATTRIBUTE);
        assert_eq!(from_item::<Thing>(item).expect("it is from before versions"), thing());
    }
}
