//! The usage of a tenant: what its generations took, counted when they end.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::domain::message::Usage;

/// Counts of generations that have ended, and of what they used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageCounts {
    /// Messages of users that were answered. A regeneration answers no new message.
    pub messages: u64,
    /// Generations, regenerations included, whether they were completed, were cancelled or failed.
    pub generations: u64,
    /// Those of the generations whose tokens are estimated.
    pub estimated_generations: u64,
    /// Tokens of the requests to models.
    pub input_tokens: u64,
    /// Tokens of the generated texts.
    pub output_tokens: u64,
}

impl UsageCounts {
    /// The counts of one generation.
    #[must_use]
    pub fn of_generation(usage: Usage, answers_message: bool) -> Self {
        Self {
            messages: answers_message.into(),
            generations: 1,
            estimated_generations: usage.estimated.into(),
            input_tokens: usage.input_tokens.into(),
            output_tokens: usage.output_tokens.into(),
        }
    }

    /// Input and output tokens together.
    #[must_use]
    pub fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl AddAssign for UsageCounts {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.generations += other.generations;
        self.estimated_generations += other.estimated_generations;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

impl std::iter::Sum for UsageCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}
