//! Adds to an error what the operator can do about it.

use anyhow::{Error, anyhow};
use shared::storage::StorageError;

use super::{
    cause::{chain, root_cause},
    deployment::Deployment,
    failure::PartialFailure,
};

/// Explains an error of the tables. Other errors stay as they are.
pub(super) fn explain(error: Error, deployment: &Deployment) -> Error {
    match error.downcast() {
        Ok(PartialFailure { done, error }) => PartialFailure { done, error: explain_storage(error, deployment) }.into(),
        Err(error) => explain_storage(error, deployment),
    }
}

fn explain_storage(error: Error, deployment: &Deployment) -> Error {
    let storage = match error.downcast::<StorageError>() {
        Ok(storage) => storage,
        Err(other) => return other,
    };
    let root = root_cause(&storage);
    let is_missing = chain(&storage).any(|cause| cause.to_string().contains("ResourceNotFoundException"));
    match (&deployment.stack, &storage) {
        (None, _) if is_missing => anyhow!(
            "the DynamoDB at {} does not have the tables: start `cargo chat dev`, which creates them, or pass the address \
             that it prints with --dynamodb-endpoint",
            deployment.dynamodb
        ),
        (Some((stack, region)), _) if is_missing => {
            anyhow!(
                "the tables of the stack {stack} do not exist in {region}: check whether it was deleted or replaced"
            )
        }
        (None, StorageError::Unavailable(_)) => anyhow!(
            "failed to reach DynamoDB at {} ({root}): start `cargo chat dev`; if it runs on another port, pass its \
             --dynamodb-endpoint; for a stack on AWS, pass --stack",
            deployment.dynamodb
        ),
        (Some((_, region)), StorageError::Unavailable(_)) => {
            anyhow!("{storage} in {region}: {root}; check the credentials of the profile, and the network")
        }
        (Some((stack, _)), StorageError::Refused(_)) => {
            anyhow!("{storage}: {root}; check that the profile may read and write the tables of the stack {stack}")
        }
        _ => anyhow!("{storage}: {root}"),
    }
}
