//! Why a call on the tables failed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::domain::error::ApiError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call on the tables that failed for reasons that are not the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// DynamoDB did not answer, or had no capacity left; trying again may help.
    #[error("failed to reach DynamoDB")]
    Unavailable(#[source] Cause),
    /// DynamoDB refused the request, which is a mistake of ours.
    #[error("failed to run a request on DynamoDB")]
    Refused(#[source] Cause),
    /// An item is not what this version of the code can read.
    #[error("failed to read an item")]
    Unreadable(#[source] Cause),
    /// An item's layout is one of a later release: while a stack is being upgraded, trying again may help.
    #[error("failed to read an item: its layout is version {found}, and this release knows {known}")]
    Newer {
        /// The item's version.
        found: u32,
        /// The newest version that this release reads.
        known: u32,
    },
    /// Others changed the same item each time that we tried.
    #[error("failed to get a word in: the item was changed by others at each of {attempts} attempts")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
}

impl<E, R> From<SdkError<E, R>> for StorageError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
        const TRANSIENT: [&str; 6] = [
            "InternalServerError",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ServiceUnavailable",
            "ThrottlingException",
            "TransactionConflictException",
        ];
        match error.as_service_error().map(|service| service.code().unwrap_or_default()) {
            Some(code) if !TRANSIENT.contains(&code) => Self::Refused(error.into()),
            _ => Self::Unavailable(error.into()),
        }
    }
}

/// Errors of serde quote the value that they could not read, and values are content, which is never logged. So only
/// what is known to be ours is kept: the name of a field.
impl From<serde_dynamo::Error> for StorageError {
    fn from(error: serde_dynamo::Error) -> Self {
        let text = error.to_string();
        let kept = if text.starts_with("missing field `") { &text } else { "an attribute is not what it should be" };
        Self::Unreadable(kept.into())
    }
}

/// As for items: the place is kept, the value is not.
impl From<serde_json::Error> for StorageError {
    fn from(error: serde_json::Error) -> Self {
        let (kind, line, column) = (error.classify(), error.line(), error.column());
        Self::Unreadable(format!("JSON is not what it should be ({kind:?}, line {line}, column {column})").into())
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) | StorageError::Newer { .. } | StorageError::Contended { .. } => {
                Self::unavailable(error)
            }
            StorageError::Refused(_) | StorageError::Unreadable(_) => Self::internal(error),
        }
    }
}

/// The output of a write, or nothing when its condition refused it.
pub(super) fn unless_refused<T, E, R>(result: Result<T, SdkError<E, R>>) -> Result<Option<T>, StorageError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = |error: &SdkError<E, R>| error.as_service_error().and_then(|error| error.code().map(str::to_owned));
    match result {
        Ok(output) => Ok(Some(output)),
        Err(error) if code(&error).as_deref() == Some("ConditionalCheckFailedException") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;
    use serde::Deserialize;

    use super::*;
    use crate::{domain::message::Status, runtime::telemetry, storage::item};

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is never read")]
    struct Item {
        seq: u32,
        status: Status,
    }

    fn logged(error: StorageError) -> String {
        telemetry::causes(ApiError::from(error).cause().expect("a cause"))
    }

    fn read(attributes: &[(&str, &str)]) -> String {
        let item: HashMap<String, AttributeValue> = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), AttributeValue::S((*value).to_owned())))
            .collect();
        logged(item::from_item::<Item>(item).expect_err("it is not such an item"))
    }

    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        for attributes in [&[("seq", "a secret")][..], &[("status", "a secret")]] {
            assert!(!read(attributes).contains("secret"), "{}", read(attributes));
        }
        assert!(read(&[]).contains("missing field `seq`"), "{}", read(&[]));
        let error = serde_json::from_str::<HashMap<String, u32>>("{\"a\": \"a secret\"}").expect_err("not a number");
        assert!(!logged(error.into()).contains("secret"));
    }
}
