//! Why a call on the tables failed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::ApiError;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A call on the tables that failed for reasons that are not the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB did not answer, or had no capacity left; trying again may help.
    #[error("failed to reach DynamoDB")]
    Unavailable(#[source] Cause),
    /// DynamoDB refused the request, which is a mistake of ours.
    #[error("failed to run a request on DynamoDB")]
    Refused(#[source] Cause),
    /// An item is not what this version of the code can read.
    #[error("failed to read an item")]
    Unreadable(#[source] Cause),
    /// Others changed the same item each time that we tried.
    #[error("failed to get a word in: the item was changed by others at each of {attempts} attempts")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
}

impl<E, R> From<SdkError<E, R>> for StoreError
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

impl From<serde_dynamo::Error> for StoreError {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Contended { .. } => Self::unavailable(error),
            StoreError::Refused(_) | StoreError::Unreadable(_) => Self::internal(error),
        }
    }
}
