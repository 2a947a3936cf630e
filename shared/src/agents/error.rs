//! Errors of agents: what is logged, what the client is told, and whether a retry may help.

use std::{error::Error as StdError, time::Duration};

use crate::domain::error::{ApiError, Code};

type Cause = Box<dyn StdError + Send + Sync>;

/// An agent's failure before or in the middle of a message.
///
/// The cause is for the log. It must contain no sentence of a provider: such text quotes keys and conversations.
#[derive(Debug, thiserror::Error)]
#[error("agent failed: {failure}")]
pub struct AgentError {
    failure: Failure,
    retry_after: Option<Duration>,
    #[source]
    cause: Option<Cause>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The provider cannot be reached, or returns a server error.
    #[error("provider unavailable")]
    Unavailable,
    /// The provider is overloaded, or limits our rate.
    #[error("provider overloaded")]
    Overloaded,
    /// The stream ended in the middle.
    #[error("stream broken off")]
    BrokenOff,
    /// The provider sent nothing for too long.
    #[error("provider silent")]
    TimedOut,
    /// The provider denies access: a bad key, a missing permission, an unpaid bill, a wrong address.
    #[error("access denied by the provider")]
    Denied,
    /// The provider rejects the request: an unknown model, a bad parameter, too long a conversation.
    #[error("request rejected by the provider")]
    Rejected,
    /// The provider's content policy refuses the conversation or the response.
    #[error("refused by the provider's content policy")]
    Refused,
    /// The agent's own code panicked.
    #[error("agent panicked")]
    Panicked,
}

impl AgentError {
    /// A failure with its cause.
    pub fn new(failure: Failure, cause: impl Into<Cause>) -> Self {
        Self { failure, retry_after: None, cause: Some(cause.into()) }
    }

    /// The agent panicked.
    #[must_use]
    pub fn panicked() -> Self {
        Failure::Panicked.into()
    }

    /// Adds the pause that the provider asks for.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// The pause that the provider asks for.
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
    /// Whether the same message may succeed when the user sends it again.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Overloaded | Self::BrokenOff | Self::TimedOut | Self::Panicked => true,
            Self::Denied | Self::Rejected | Self::Refused => false,
        }
    }

    /// Whether the provider has not begun to work on the request, so that it charges nothing.
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(self, Self::Unavailable | Self::Overloaded | Self::Denied | Self::Rejected)
    }

    /// Whether another attempt a moment later may help.
    pub(super) fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Overloaded | Self::BrokenOff)
    }

    fn code(self) -> Code {
        match self {
            Self::TimedOut => Code::AgentTimeout,
            _ => Code::AgentError,
        }
    }

    /// Message and suggestion for the user.
    fn message_and_suggestion(self) -> (&'static str, &'static str) {
        const REGENERATE: &str =
            "Ask for the answer again with `regenerate`; what came before the failure is kept with the chat.";
        match self {
            Self::Unavailable => ("The model cannot be reached.", REGENERATE),
            Self::Overloaded => (
                "The model has too much to do.",
                "Wait a little, then ask for the answer again with `regenerate`; what came of it is kept with the chat.",
            ),
            Self::BrokenOff => ("The answer broke off.", REGENERATE),
            Self::TimedOut => ("The model took too long.", REGENERATE),
            Self::Denied => (
                "The agent of this chat is not set up.",
                "Report the request id to the operator of this service, or choose another config.agent.",
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
            Self::Panicked => ("The agent could not answer.", REGENERATE),
        }
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        let (message, suggestion) = error.failure.message_and_suggestion();
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
    fn only_transient_failures_are_retryable() {
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
    fn cause_is_logged_and_never_sent() {
        let error = ApiError::from(AgentError::new(Failure::Denied, "status 401, code invalid_api_key"));
        assert!(!error.to_json().to_string().contains("invalid_api_key"));
        let cause = error.cause().map(|cause| telemetry::causes(cause).to_string()).unwrap_or_default();
        assert!(cause.contains("invalid_api_key"), "{cause}");
    }
}
