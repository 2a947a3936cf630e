//! Errors as callers see them: a code that is part of the contract, a message for people, details with a suggestion.
//!
//! What really went wrong travels beside them as the `source`, which is logged once at the boundary and never sent.

use std::error::Error as StdError;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::domain::id::{ChatId, UserId};

type Cause = Box<dyn StdError + Send + Sync>;

/// The identifiers of errors, for programs to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum Code {
    /// The text is not JSON, or not a JSON object.
    InvalidJson,
    /// A field or parameter has a value outside what is allowed.
    InvalidParameter,
    /// A field or parameter that is needed is not there.
    MissingParameter,
    /// A field or parameter that does not exist.
    UnknownField,
    /// No API key was sent.
    MissingApiKey,
    /// The API key belongs to nobody, or no longer.
    InvalidApiKey,
    /// The tenant is suspended.
    TenantSuspended,
    /// The chat is the tenant's, but another user's.
    ChatAccessDenied,
    /// No such chat for this tenant.
    ChatNotFound,
    /// No such answer in this chat.
    MessageNotFound,
    /// No such path.
    RouteNotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// Four answers are being streamed in the chat already.
    GenerationInProgress,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body is of another type than JSON.
    UnsupportedMediaType,
    /// The ticket was used already, or is too old.
    InvalidTicket,
    /// The same idempotency key came with another body.
    IdempotencyMismatch,
    /// The tenant, or the connection, has used up its window.
    RateLimitExceeded,
    /// The tenant has all its connections open.
    ConnectionLimitExceeded,
    /// Something broke on our side.
    Internal,
    /// Something that we depend on does not answer; trying again helps.
    Unavailable,
    /// WebSocket only: the agent failed.
    AgentError,
    /// WebSocket only: the agent was silent for too long.
    AgentTimeout,
    /// WebSocket only: this socket is about to be closed by us.
    ConnectionClosing,
    /// WebSocket only: the `type` of a message is unknown.
    UnknownType,
    /// WebSocket only: a message is larger than allowed.
    MessageTooLarge,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 26] = [
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
        Self::Internal,
        Self::Unavailable,
        Self::AgentError,
        Self::AgentTimeout,
        Self::ConnectionClosing,
        Self::UnknownType,
        Self::MessageTooLarge,
    ];

    /// The code as it is sent.
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
            Self::ConnectionClosing => "CONNECTION_CLOSING",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::AgentError => "AGENT_ERROR",
            Self::AgentTimeout => "AGENT_TIMEOUT",
            Self::UnknownType => "UNKNOWN_TYPE",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
        }
    }

    /// The HTTP status that goes with the code; for the codes that only a socket sees, the nearest one.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson
            | Self::InvalidParameter
            | Self::MissingParameter
            | Self::UnknownField
            | Self::UnknownType => StatusCode::BAD_REQUEST,
            Self::MissingApiKey | Self::InvalidApiKey | Self::InvalidTicket => StatusCode::UNAUTHORIZED,
            Self::TenantSuspended | Self::ChatAccessDenied | Self::ConnectionClosing => StatusCode::FORBIDDEN,
            Self::ChatNotFound | Self::MessageNotFound | Self::RouteNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::GenerationInProgress => StatusCode::CONFLICT,
            Self::PayloadTooLarge | Self::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimitExceeded | Self::ConnectionLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal | Self::AgentError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::AgentTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the same request may succeed when it is sent again, unless an error says otherwise.
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
        )
    }
}

/// An error on its way to a caller. In a box, since results carry it everywhere and it seldom comes.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.code.as_str(), .0.message)]
pub struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    message: String,
    details: Map<String, Value>,
    retryable: bool,
    header: Option<(HeaderName, HeaderValue)>,
    cause: Option<Cause>,
}

impl ApiError {
    /// An error with what a person should know and what they should do about it.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        let details = Map::from_iter([("suggestion".to_owned(), Value::String(suggestion.into()))]);
        let retryable = code.retryable();
        Self(Box::new(Parts { code, message: message.into(), details, retryable, header: None, cause: None }))
    }

    /// Adds one thing for programs to read.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// Says whether to try again, where the code alone does not tell.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Adds a header to the HTTP response, such as `Allow`.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// Adds what really happened, for the log alone.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The error's identifier.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether the same request may succeed when it is sent again.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// What really happened, if this is more than the caller's mistake.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// The header that belongs to the error, if any.
    #[must_use]
    pub fn header(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.0.header.as_ref()
    }

    /// The `error` object: `{code, message, details}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "code": self.0.code.as_str(), "message": self.0.message, "details": self.0.details })
    }

    /// Something broke on our side.
    #[must_use]
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(
            Code::Internal,
            "Something went wrong on our side.",
            "Try again; if it goes on, report the request id.",
        )
        .with_cause(cause)
    }

    /// Something that we depend on did not answer in time.
    #[must_use]
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::new(Code::Unavailable, "The service cannot answer right now.", "Try again in a few seconds.")
            .with_cause(cause)
    }

    /// A field that is needed is not there.
    #[must_use]
    pub fn missing_parameter(field: &str, allowed: &str) -> Self {
        Self::new(Code::MissingParameter, format!("`{field}` is missing."), format!("Send `{field}`: {allowed}."))
            .with_detail("field", field)
            .with_detail("allowed", allowed)
    }

    /// A field whose value is not allowed. `got` is shown cut short.
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

    /// The chat does not exist for this tenant. Says the same of another tenant's chat and of one that never was.
    #[must_use]
    pub fn chat_not_found(chat_id: &str) -> Self {
        Self::new(
            Code::ChatNotFound,
            "No chat with this id exists for your tenant.",
            "Create it with POST /api/v1/chats/.",
        )
        .with_detail("chat_id", chat_id)
    }

    /// The chat has no such answer. Says the same of another chat's answer and of one that never was.
    #[must_use]
    pub fn message_not_found(message_id: &str) -> Self {
        Self::new(
            Code::MessageNotFound,
            "No answer with this id exists in this chat.",
            "Take the message_id of a message_stream_started, of active_streams, or of the chat's messages over REST.",
        )
        .with_detail("message_id", message_id)
    }

    /// The chat is another user's.
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

/// At most this many characters of a bad value come back in an error.
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
    fn the_cause_stays_here() {
        let sent = ApiError::internal("table chats-prod does not exist").to_json().to_string();
        assert!(!sent.contains("chats-prod"), "{sent}");
    }

    #[test]
    fn long_values_come_back_cut_short() {
        let error = ApiError::invalid_parameter("title", &Value::String("ü".repeat(500)), "at most 200 characters");
        let got = error.to_json()["details"]["got"].as_str().map(|got| got.chars().count());
        assert_eq!(got, Some(EXCERPT_CHARS + 1));
    }
}
