//! The usage of a generation that has ended, until it is counted.

use serde::{Deserialize, Serialize};

use super::generation::{Generation, RunningGeneration};
use crate::{
    domain::{day::Day, id::MessageId, message::Usage, time::Timestamp},
    storage::error::StorageError,
};

/// The usage of a generation that has ended and is not counted yet. Stored as an element of a set: JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct UncountedUsage {
    pub(in crate::storage) message_id: MessageId,
    /// The day on which the generation ended.
    pub(in crate::storage) day: Day,
    pub(in crate::storage) model: String,
    pub(in crate::storage) answers_message: bool,
    pub(in crate::storage) usage: Usage,
}

impl UncountedUsage {
    /// The usage of a generation, for its owner.
    pub(in crate::storage) fn of_owner(generation: &Generation, usage: Usage, ended_at: Timestamp) -> Self {
        Self {
            message_id: generation.message_id.clone(),
            day: Day::of(ended_at),
            model: generation.model.clone(),
            answers_message: generation.replaces.is_none(),
            usage,
        }
    }

    /// The usage of a generation, by its record in the state, for a takeover.
    pub(in crate::storage) fn of_record(generation: &RunningGeneration, usage: Usage, ended_at: Timestamp) -> Self {
        Self {
            message_id: generation.message_id.clone(),
            day: Day::of(ended_at),
            model: generation.model.clone(),
            answers_message: generation.replaces.is_none(),
            usage,
        }
    }

    /// The element.
    pub(in crate::storage) fn to_element(&self) -> Result<String, StorageError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads an element.
    pub(in crate::storage) fn parse(element: &str) -> Result<Self, StorageError> {
        Ok(serde_json::from_str(element)?)
    }
}
