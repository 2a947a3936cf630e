//! Outcomes of conditional writes: a condition that does not hold is a result, not an error.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::update_item::{UpdateItemError, UpdateItemOutput},
};

use super::{error::StorageError, item::Item};

/// The outcome of an update that returns the item, also when its condition fails (`ALL_OLD`).
pub(super) enum ConditionalUpdate {
    /// The update is made; the attributes that it asked for.
    Updated(Item),
    /// The condition does not hold; the item as it is, if it exists.
    Refused(Option<Item>),
}

impl ConditionalUpdate {
    /// Separates a failed condition from all other errors.
    pub(super) fn of(result: Result<UpdateItemOutput, SdkError<UpdateItemError>>) -> Result<Self, StorageError> {
        match result {
            Ok(output) => Ok(Self::Updated(output.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Self::Refused(failed.item().cloned()))
                }
                _ => Err(error.into()),
            },
        }
    }
}

/// The output of a conditional write; `None` when its condition does not hold.
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
