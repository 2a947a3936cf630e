//! The shape of errors, for the API's documents alone: the functions write errors from [`ApiError`](crate::domain::error::ApiError).
//!
//! What is sent and received otherwise derives its schema where it is defined.

use schemars::JsonSchema;

use crate::domain::{error::Code, id::UserId};

/// The body of every answer that is an error.
#[derive(Debug, JsonSchema)]
pub struct ErrorAnswer {
    /// What did not work.
    pub error: ErrorObject,
    /// What to name when reporting the error; the same as the header `X-Request-Id`.
    pub request_id: String,
}

/// What did not work.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorObject {
    /// What programs match on.
    pub code: Code,
    /// What people read.
    pub message: String,
    /// More about it.
    pub details: Details,
}

/// More about an error: what to do, and, where it applies, what is wrong with what.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ErrorDetails")]
pub struct Details {
    /// What to do about it.
    pub suggestion: String,
    /// The field, parameter or header that is wrong; `config.model` for one inside another.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was sent, cut short.
    #[schemars(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["string", "number", "boolean"]))]
    pub got: Option<serde_json::Value>,
    /// What is allowed: in words, or as a list of names.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Allowed>,
    /// How many bytes were sent.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub got_bytes: Option<u64>,
    /// How many bytes are allowed.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub allowed_bytes: Option<u64>,
    /// The chat that was named, as it was named.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<String>,
    /// The answer that was named, as it was named.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The user that was named.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The path that was asked for, cut short.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The limit that is reached.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// After how many seconds to try again.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// On a WebSocket: whether the same message may succeed when it is sent again.
    #[schemars(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// What is allowed.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Allowed {
    /// In words.
    Words(String),
    /// As a list of names.
    Names(Vec<String>),
}
