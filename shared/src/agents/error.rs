//! Why an agent could not answer, or not to the end: what is logged, what the client is told, and whether to try again.

use std::{error::Error as StdError, time::Duration};

use crate::domain::error::{ApiError, Code};

type Cause = Box<dyn StdError + Send + Sync>;

/// Why an agent could not answer, or not to the end.
///
/// The cause is for the log. It must hold nothing that a provider wrote in sentences: such text quotes keys and
/// conversations.
#[derive(Debug, thiserror::Error)]
#[error("failed to get the answer from the agent: {failure}")]
pub struct AgentError {
    failure: Failure,
    retry_after: Option<Duration>,
    #[source]
    cause: Option<Cause>,
}

/// The ways in which an agent fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The provider cannot be reached, or is broken itself.
    #[error("the provider does not work")]
    Unavailable,
    /// The provider has too much to do, or we ask too often.
    #[error("the provider is overloaded")]
    Overloaded,
    /// The answer was cut off.
    #[error("the answer broke off")]
    BrokenOff,
    /// The provider was silent for too long.
    #[error("the provider is silent")]
    TimedOut,
    /// The provider does not let us in: a bad key, a missing right, an unpaid bill, a wrong address.
    #[error("the provider does not let us in")]
    Denied,
    /// The provider does not understand the request: an unknown model, a parameter, too long a conversation.
    #[error("the provider does not take the request")]
    Rejected,
    /// The provider's content policy does not allow the question, or the answer.
    #[error("the provider's policy refuses")]
    Refused,
    /// The agent itself is broken.
    #[error("the agent is broken")]
    Panicked,
}

impl AgentError {
    /// A failure with what really happened.
    pub fn new(failure: Failure, cause: impl Into<Cause>) -> Self {
        Self { failure, retry_after: None, cause: Some(cause.into()) }
    }

    /// The agent panicked.
    #[must_use]
    pub fn panicked() -> Self {
        Failure::Panicked.into()
    }

    /// Adds how long the provider wants to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// In which way the agent failed.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// How long the provider wants to be left alone, if it said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<Failure> for AgentError {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_after: None, cause: None }
    }
}

impl Failure {
    /// Whether the same message may be answered when it is sent again.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Overloaded | Self::BrokenOff | Self::TimedOut | Self::Panicked => true,
            Self::Denied | Self::Rejected | Self::Refused => false,
        }
    }

    /// Whether asking the provider once more, a moment later, may help.
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::Unavailable | Self::Overloaded | Self::BrokenOff)
    }

    fn code(self) -> Code {
        match self {
            Self::TimedOut => Code::AgentTimeout,
            _ => Code::AgentError,
        }
    }

    /// What a person should know, and what to do.
    fn told(self) -> (&'static str, &'static str) {
        const AGAIN: &str =
            "Ask for the answer again with `regenerate`; what came before the failure is kept with the chat.";
        match self {
            Self::Unavailable => ("The model cannot be reached.", AGAIN),
            Self::Overloaded => (
                "The model has too much to do.",
                "Wait a little, then ask for the answer again with `regenerate`; what came of it is kept with the chat.",
            ),
            Self::BrokenOff => ("The answer broke off.", AGAIN),
            Self::TimedOut => ("The model took too long.", AGAIN),
            Self::Denied => (
                "The agent of this chat is not set up.",
                "Report the request id to whoever runs this service, or choose another config.agent.",
            ),
            Self::Rejected => (
                "The model does not take this request.",
                "Check the chat's config (model, temperature, max_tokens); a new chat helps if the conversation has \
                 become too long.",
            ),
            Self::Refused => (
                "The model's provider does not allow this.",
                "Say it in other words; what came before the refusal is kept with the chat.",
            ),
            Self::Panicked => ("The agent could not answer.", AGAIN),
        }
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        let (message, suggestion) = error.failure.told();
        Self::new(error.failure.code(), message, suggestion)
            .with_retryable(error.failure.is_retryable())
            .with_cause(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::telemetry;

    #[test]
    fn trying_again_is_advised_only_where_it_may_help() {
        for (failure, retryable) in [
            (Failure::Unavailable, true),
            (Failure::Overloaded, true),
            (Failure::BrokenOff, true),
            (Failure::TimedOut, true),
            (Failure::Panicked, true),
            (Failure::Denied, false),
            (Failure::Rejected, false),
            (Failure::Refused, false),
        ] {
            let error = ApiError::from(AgentError::from(failure));
            assert_eq!(error.retryable(), retryable, "{failure:?}");
            let timed_out = error.code() == Code::AgentTimeout;
            assert_eq!(timed_out, failure == Failure::TimedOut);
        }
    }

    #[test]
    fn what_the_provider_said_is_for_the_log_alone() {
        let error = ApiError::from(AgentError::new(Failure::Denied, "status 401, code invalid_api_key"));
        assert!(!error.to_json().to_string().contains("invalid_api_key"));
        let cause = error.cause().map(|cause| telemetry::causes(cause).to_string()).unwrap_or_default();
        assert!(cause.contains("invalid_api_key"), "{cause}");
    }
}
