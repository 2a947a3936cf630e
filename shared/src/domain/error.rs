//! Errors as callers see them: a code that is part of the contract, a message for people, and details with a suggestion.
//!
//! The cause travels along; it is logged once, where the response is written, and never sent.

use std::error::Error as StdError;

use serde_json::{Map, Value, json};

use crate::domain::id::{ChatId, UserId};

type Cause = Box<dyn StdError + Send + Sync>;

/// The codes that programs match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum Code {
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
    /// The API key is unknown, expired or revoked.
    InvalidApiKey,
    /// The tenant is suspended.
    TenantSuspended,
    /// The chat belongs to another user of the tenant.
    ChatAccessDenied,
    /// The tenant has no such chat.
    ChatNotFound,
    /// The chat has no such assistant message.
    MessageNotFound,
    /// The path does not exist.
    RouteNotFound,
    /// The path exists with other methods.
    MethodNotAllowed,
    /// The chat has its four concurrent generations.
    GenerationInProgress,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body's type is not JSON.
    UnsupportedMediaType,
    /// The ticket is used, expired or unknown.
    InvalidTicket,
    /// The idempotency key was used with another body.
    IdempotencyMismatch,
    /// The tenant or the connection has reached a rate limit.
    RateLimitExceeded,
    /// The tenant or the chat has reached its limit of open connections.
    ConnectionLimitExceeded,
    /// WebSocket only: the tenant has reached its limit of concurrent generations.
    GenerationLimitExceeded,
    /// WebSocket only: the tenant has reached its limit of messages a minute.
    MessageRateExceeded,
    /// WebSocket only: the tenant has used its tokens of the day or the month.
    QuotaExceeded,
    /// The service has a bug.
    Internal,
    /// A dependency does not respond; a retry may help.
    Unavailable,
    /// WebSocket only: the agent failed.
    AgentError,
    /// WebSocket only: the agent sent nothing for too long.
    AgentTimeout,
    /// WebSocket only: the service closes the connection.
    ConnectionClosing,
    /// WebSocket only: the `type` of a frame is unknown.
    UnknownType,
    /// WebSocket only: a frame is larger than allowed.
    MessageTooLarge,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 29] = [
        Self::InvalidJson,
        Self::InvalidParameter,
        Self::MissingParameter,
        Self::UnknownField,
        Self::MissingApiKey,
        Self::InvalidApiKey,
        Self::TenantSuspended,
        Self::ChatAccessDenied,
        Self::ChatNotFound,
        Self::MessageNotFound,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::GenerationInProgress,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidTicket,
        Self::IdempotencyMismatch,
        Self::RateLimitExceeded,
        Self::ConnectionLimitExceeded,
        Self::GenerationLimitExceeded,
        Self::MessageRateExceeded,
        Self::QuotaExceeded,
        Self::Internal,
        Self::Unavailable,
        Self::AgentError,
        Self::AgentTimeout,
        Self::ConnectionClosing,
        Self::UnknownType,
        Self::MessageTooLarge,
    ];

    /// The code as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "INVALID_JSON",
            Self::InvalidParameter => "INVALID_PARAMETER",
            Self::MissingParameter => "MISSING_PARAMETER",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::MissingApiKey => "MISSING_API_KEY",
            Self::InvalidApiKey => "INVALID_API_KEY",
            Self::TenantSuspended => "TENANT_SUSPENDED",
            Self::ChatAccessDenied => "CHAT_ACCESS_DENIED",
            Self::ChatNotFound => "CHAT_NOT_FOUND",
            Self::MessageNotFound => "MESSAGE_NOT_FOUND",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::GenerationInProgress => "GENERATION_IN_PROGRESS",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::InvalidTicket => "INVALID_TICKET",
            Self::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::ConnectionLimitExceeded => "CONNECTION_LIMIT_EXCEEDED",
            Self::GenerationLimitExceeded => "GENERATION_LIMIT_EXCEEDED",
            Self::MessageRateExceeded => "MESSAGE_RATE_EXCEEDED",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::ConnectionClosing => "CONNECTION_CLOSING",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::AgentError => "AGENT_ERROR",
            Self::AgentTimeout => "AGENT_TIMEOUT",
            Self::UnknownType => "UNKNOWN_TYPE",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
        }
    }

    /// The HTTP status of the code; of a code that only WebSocket clients see, the closest one.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::InvalidParameter
            | Self::MissingParameter
            | Self::UnknownField
            | Self::UnknownType => 400,
            Self::MissingApiKey | Self::InvalidApiKey | Self::InvalidTicket => 401,
            Self::TenantSuspended | Self::ChatAccessDenied | Self::ConnectionClosing => 403,
            Self::ChatNotFound | Self::MessageNotFound | Self::RouteNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::GenerationInProgress => 409,
            Self::PayloadTooLarge | Self::MessageTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::IdempotencyMismatch => 422,
            Self::RateLimitExceeded
            | Self::ConnectionLimitExceeded
            | Self::GenerationLimitExceeded
            | Self::MessageRateExceeded
            | Self::QuotaExceeded => 429,
            Self::Internal | Self::AgentError => 500,
            Self::Unavailable => 503,
            Self::AgentTimeout => 504,
        }
    }

    /// Whether a message was refused because its tenant's budget is used up.
    #[must_use]
    pub fn is_of_budget(self) -> bool {
        matches!(self, Self::GenerationLimitExceeded | Self::MessageRateExceeded | Self::QuotaExceeded)
    }

    /// Whether a retry of the same request may succeed. An [`ApiError`] may override it.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Internal
                | Self::Unavailable
                | Self::AgentError
                | Self::AgentTimeout
                | Self::RateLimitExceeded
                | Self::GenerationInProgress
                | Self::ConnectionLimitExceeded
                | Self::GenerationLimitExceeded
                | Self::MessageRateExceeded
                | Self::QuotaExceeded
        )
    }
}

/// An error for a caller. Boxed, since every `Result` carries it and it is rare.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.code.as_str(), .0.message)]
pub struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    message: String,
    details: Map<String, Value>,
    retryable: bool,
    cause: Option<Cause>,
}

impl ApiError {
    /// An error that says what happened and what to do.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        let details = Map::from_iter([("suggestion".to_owned(), Value::String(suggestion.into()))]);
        let retryable = code.retryable();
        Self(Box::new(Parts { code, message: message.into(), details, retryable, cause: None }))
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// Overrides whether a retry may succeed.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Adds the cause, for the log only.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether a retry of the same request may succeed.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// The cause, unless the caller is at fault.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// A detail, by its name.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&Value> {
        self.0.details.get(name)
    }

    /// The `error` object: `{code, message, details}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "code": self.0.code.as_str(), "message": self.0.message, "details": self.0.details })
    }

    /// The service has a bug; `cause` says which.
    #[must_use]
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(
            Code::Internal,
            "Something went wrong on our side.",
            "Try again; if it goes on, report the request id.",
        )
        .with_cause(cause)
    }

    /// A dependency did not respond in time.
    #[must_use]
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::new(Code::Unavailable, "The service cannot answer right now.", "Try again in a few seconds.")
            .with_cause(cause)
    }

    /// A required field is missing.
    #[must_use]
    pub fn missing_parameter(field: &str, allowed: &str) -> Self {
        Self::new(Code::MissingParameter, format!("`{field}` is missing."), format!("Send `{field}`: {allowed}."))
            .with_detail("field", field)
            .with_detail("allowed", allowed)
    }

    /// A field has a value that is not allowed. At most 64 characters of it are sent back.
    #[must_use]
    pub fn invalid_parameter(field: &str, got: &Value, allowed: &str) -> Self {
        Self::new(
            Code::InvalidParameter,
            format!("`{field}` has a value that is not allowed."),
            format!("Send `{field}` as {allowed}."),
        )
        .with_detail("field", field)
        .with_detail("got", excerpt(got))
        .with_detail("allowed", allowed)
    }

    /// The tenant has no such chat. The error is the same for another tenant's chat and for a chat that never existed.
    #[must_use]
    pub fn chat_not_found(chat_id: &str) -> Self {
        Self::new(
            Code::ChatNotFound,
            "No chat with this id exists for your tenant.",
            "Create it with POST /api/v1/chats/.",
        )
        .with_detail("chat_id", chat_id)
    }

    /// The chat has no such assistant message. The error is the same for another chat's message.
    #[must_use]
    pub fn message_not_found(message_id: &str) -> Self {
        Self::new(
            Code::MessageNotFound,
            "No answer with this id exists in this chat.",
            "Take the message_id of a message_stream_started, of active_streams, or of the chat's messages over REST.",
        )
        .with_detail("message_id", message_id)
    }

    /// The chat belongs to another user.
    #[must_use]
    pub fn chat_access_denied(chat_id: &ChatId, user_id: &UserId) -> Self {
        Self::new(
            Code::ChatAccessDenied,
            "This chat belongs to another user.",
            "Connect with the user_id that the chat was created for.",
        )
        .with_detail("chat_id", chat_id.as_str())
        .with_detail("user_id", user_id.as_str())
    }
}

/// At most this many characters of a rejected value are sent back.
const EXCERPT_CHARS: usize = 64;

fn excerpt(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => return value.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_not_sent() {
        let sent = ApiError::internal("table chats-prod does not exist").to_json().to_string();
        assert!(!sent.contains("chats-prod"), "{sent}");
    }

    #[test]
    fn long_values_are_truncated() {
        let error = ApiError::invalid_parameter("title", &Value::String("ü".repeat(500)), "at most 200 characters");
        let got = error.to_json()["details"]["got"].as_str().map(|got| got.chars().count());
        assert_eq!(got, Some(EXCERPT_CHARS + 1));
    }
}
