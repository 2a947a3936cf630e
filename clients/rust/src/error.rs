//! Errors, with what to do about them.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::ErrorEvent;

/// What went wrong. Programs match on it; new codes may be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Code {
    /// Of this client: no connection within the time. The address may be wrong, or the handshake refused.
    ConnectionFailed,
    /// Of this client: the function that fetches a ticket failed.
    TicketFailed,
    /// Of this client: the server did not respond in time.
    NoResponse,
    /// Of this client: what came is not of this API.
    BadResponse,
    /// Of this client: the chat was closed.
    Closed,
    /// The body is not a JSON object.
    InvalidJson,
    /// A field or parameter has a value that is not allowed.
    InvalidParameter,
    /// A required field or parameter is missing.
    MissingParameter,
    /// A field or parameter is unknown.
    UnknownField,
    /// The request has no API key.
    MissingApiKey,
    /// The API key is unknown, revoked or expired.
    InvalidApiKey,
    /// The ticket is unknown, used or expired.
    InvalidTicket,
    /// The operator suspended the tenant.
    TenantSuspended,
    /// The chat is not the user's.
    ChatAccessDenied,
    /// The tenant has no such chat.
    ChatNotFound,
    /// The chat has no such answer.
    MessageNotFound,
    /// The API has no such route.
    RouteNotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// A rate limit is reached.
    RateLimitExceeded,
    /// The tenant or the chat has all its connections.
    ConnectionLimitExceeded,
    /// The chat has its four concurrent answers.
    GenerationInProgress,
    /// The tenant has reached its limit of concurrent answers.
    GenerationLimitExceeded,
    /// The tenant has reached its limit of messages a minute.
    MessageRateExceeded,
    /// The tenant has used its tokens of the day or the month.
    QuotaExceeded,
    /// The model failed.
    AgentError,
    /// The model sent nothing for too long.
    AgentTimeout,
    /// The service closes the connection for good.
    ConnectionClosing,
    /// The type of a frame is unknown.
    UnknownType,
    /// A frame is larger than allowed.
    MessageTooLarge,
    /// The service has a bug.
    Internal,
    /// A dependency of the service does not respond.
    Unavailable,
    /// A code that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An error of the server or of this client. Displays as its message.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ChatError(Arc<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    code: Code,
    message: String,
    suggestion: String,
    retryable: bool,
    details: Map<String, Value>,
    status: Option<u16>,
    request_id: Option<String>,
}

/// An error as responses and events carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub code: Code,
    /// The message for people.
    pub message: String,
    /// What to do (`suggestion`), and what the error is about.
    #[serde(default)]
    pub details: Map<String, Value>,
}

impl ChatError {
    /// An error of this client, which a retry does not repair.
    pub(crate) fn new(code: Code, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        let (message, suggestion) = (message.into(), suggestion.into());
        let (details, status, request_id) = (Map::new(), None, None);
        Self(Arc::new(Fields { code, message, suggestion, retryable: false, details, status, request_id }))
    }

    /// An error of the server.
    pub(crate) fn of_server(error: ErrorBody, retryable: bool) -> Self {
        let ErrorBody { code, message, details } = error;
        let suggestion = details.get("suggestion").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self(Arc::new(Fields { code, message, suggestion, retryable, details, status: None, request_id: None }))
    }

    pub(crate) fn retryable(self) -> Self {
        self.with(|fields| fields.retryable = true)
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        self.with(|fields| fields.status = Some(status))
    }

    pub(crate) fn with_request_id(self, request_id: Option<String>) -> Self {
        self.with(|fields| fields.request_id = request_id)
    }

    /// Adds the seconds of a `Retry-After`, unless the error has them.
    pub(crate) fn with_retry_after(self, seconds: Option<u64>) -> Self {
        let Some(seconds) = seconds else { return self };
        self.with(|fields| {
            fields.details.entry(RETRY_AFTER).or_insert(seconds.into());
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn code(&self) -> &Code {
        &self.0.code
    }

    /// What to do.
    #[must_use]
    pub fn suggestion(&self) -> &str {
        &self.0.suggestion
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// How long to wait before a retry, if the server says.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.0.details.get(RETRY_AFTER).and_then(Value::as_u64)?;
        Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)))
    }

    /// The answer that a refused frame named.
    pub(crate) fn message_id(&self) -> Option<&str> {
        self.0.details.get("message_id").and_then(Value::as_str)
    }

    /// What the error is about: `field`, `limit` and others, as docs/API.md lists them.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// The HTTP status, of a response or a refused handshake.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The id to quote when you report the error to the operator.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
}

impl From<ErrorEvent> for ChatError {
    fn from(event: ErrorEvent) -> Self {
        let retryable = event.error.details.get("retryable").and_then(Value::as_bool).unwrap_or_default();
        Self::of_server(event.error, retryable).with_request_id(Some(event.request_id))
    }
}

const RETRY_AFTER: &str = "retry_after_seconds";
/// A month, in seconds: a quota may last so long. More is of no use, and may overflow.
const LONGEST_RETRY_AFTER: u64 = 31 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn unknown_code_is_kept() {
        let codes: Vec<Code> = from_value(json!(["QUOTA_EXCEEDED", "FROM_ANOTHER_VERSION"])).expect("codes");
        assert_eq!(codes, [Code::QuotaExceeded, Code::Other("FROM_ANOTHER_VERSION".to_owned())]);
        assert_eq!(codes[0].to_string(), "QUOTA_EXCEEDED");
    }
}
