//! What went wrong, and what to do about it.

use std::error::Error;

use anyhow::{Error as Anyhow, anyhow};
use shared::storage::StorageError;

use super::place::Place;

impl Place {
    /// Says of an error of the tables what an operator can do; leaves others as they are.
    pub(super) fn explain(&self, error: Anyhow) -> Anyhow {
        let store = match error.downcast::<StorageError>() {
            Ok(store) => store,
            Err(other) => return other,
        };
        let root = root(&store);
        let is_missing = chain(&store).any(|cause| cause.to_string().contains("ResourceNotFoundException"));
        match (&self.stack, &store) {
            (None, _) if is_missing => anyhow!(
                "the DynamoDB at {} has no such tables; `cargo chat dev` makes them, or grant the endpoint that it shows \
                 with --dynamodb-endpoint",
                self.dynamodb
            ),
            (Some((stack, region)), _) if is_missing => {
                anyhow!("the tables of the stack {stack} are gone from {region}; was it deleted, or deployed anew?")
            }
            (None, StorageError::Unavailable(_)) => anyhow!(
                "no DynamoDB answers at {} ({root}); is `cargo chat dev` running? ConnectionGrant its --dynamodb-endpoint if it \
                 is on another port, or --stack for one on AWS",
                self.dynamodb
            ),
            (Some((_, region)), StorageError::Unavailable(_)) => {
                anyhow!("{store} in {region}: {root}; check the credentials of the profile, and the network")
            }
            (Some((stack, _)), StorageError::Refused(_)) => {
                anyhow!("{store}: {root}; check that the profile may read and write the tables of the stack {stack}")
            }
            _ => anyhow!("{store}: {root}"),
        }
    }
}

/// An error and what is behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |error: &&'a (dyn Error + 'static)| (*error).source();
    std::iter::successors(Some(error), next)
}

/// What is behind all else.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
