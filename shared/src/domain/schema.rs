//! The shape of errors, for the API's documents alone: the functions write errors from [`ApiError`](crate::domain::error::ApiError).
//!
//! What is sent and received otherwise derives its schema where it is defined.

use schemars::JsonSchema;

use crate::domain::{error::Code, id::UserId, time::Timestamp};

/// The body of every error response.
#[derive(Debug, JsonSchema)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorObject,
    /// The id to quote in a report; the same as the header `X-Request-Id`.
    pub request_id: String,
}

/// An error.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorObject {
    /// The code that programs match on.
    pub code: Code,
    /// The message for people.
    pub message: String,
    /// Details, with a suggestion.
    pub details: Details,
}

/// What to do about an error, and what it is about.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ErrorDetails")]
pub struct Details {
    /// What to do.
    pub suggestion: String,
    /// The field, parameter or header at fault; nested fields with a dot, as in `config.model`.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value that was sent, truncated.
    #[schemars(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["string", "number", "boolean"]))]
    pub got: Option<serde_json::Value>,
    /// What is allowed: a description, or a list of names.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
    /// The size that was sent, in bytes.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub got_bytes: Option<u64>,
    /// The size that is allowed, in bytes.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub allowed_bytes: Option<u64>,
    /// The `chat_id` of the request.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<String>,
    /// The `message_id` of the request.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The `user_id` of the request.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The path of the request, truncated.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The limit that is reached.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The period of the limit: `day` or `month`, in UTC.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// When the next period begins.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
    /// Seconds to wait before a retry.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// WebSocket only: whether a retry of the same frame may succeed.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// What is allowed.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Allowed {
    /// A description.
    Words(String),
    /// A list of names.
    Names(Vec<String>),
}
