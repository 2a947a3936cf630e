//! Errors of the tables.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::domain::error::ApiError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call on the tables failed, and the caller's input is not the reason.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// DynamoDB could not be reached or was short of capacity; a retry may help.
    #[error("failed to reach DynamoDB")]
    Unavailable(#[source] Cause),
    /// DynamoDB refused the request, which is a bug of this service.
    #[error("failed to run a request on DynamoDB")]
    Refused(#[source] Cause),
    /// An item cannot be read by this version of the code.
    #[error("failed to read an item")]
    Unreadable(#[source] Cause),
    /// A later release wrote the item. While a stack is being updated, a retry may help.
    #[error("failed to read an item: its layout is version {found}, and this release knows {known}")]
    Newer {
        /// The item's version.
        found: u32,
        /// The newest version that this release reads.
        known: u32,
    },
    /// Other transactions changed the same item during each attempt.
    #[error("transaction conflict: gave up after {attempts} attempts")]
    Contended {
        /// The number of attempts.
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

/// Errors of serde quote the value that they could not read, and values are content, which is never logged. Only the
/// name of a missing field is kept.
impl From<serde_dynamo::Error> for StorageError {
    fn from(error: serde_dynamo::Error) -> Self {
        let text = error.to_string();
        let cause =
            if text.starts_with("missing field `") { &text } else { "an attribute has the wrong type or value" };
        Self::Unreadable(cause.into())
    }
}

/// As for items: the position is kept, the value is not.
impl From<serde_json::Error> for StorageError {
    fn from(error: serde_json::Error) -> Self {
        let (kind, line, column) = (error.classify(), error.line(), error.column());
        Self::Unreadable(format!("invalid JSON ({kind:?}, line {line}, column {column})").into())
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::types::AttributeValue;
    use serde::Deserialize;

    use super::*;
    use crate::{domain::message::Status, runtime::telemetry, storage::item};

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only deserialized")]
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
        logged(item::from_item::<Item>(item).expect_err("an invalid item"))
    }

    #[test]
    fn unreadable_values_are_not_quoted() {
        for attributes in [&[("seq", "a secret")][..], &[("status", "a secret")]] {
            assert!(!read(attributes).contains("secret"), "{}", read(attributes));
        }
        assert!(read(&[]).contains("missing field `seq`"), "{}", read(&[]));
        let error = serde_json::from_str::<HashMap<String, u32>>("{\"a\": \"a secret\"}").expect_err("not a number");
        assert!(!logged(error.into()).contains("secret"));
    }
}
