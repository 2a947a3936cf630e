//! Errors of the provider. Servers agree on the statuses, not on the identifiers.

use serde_json::Value;

use crate::agents::error::{AgentError, Failure};

/// An error of the provider, reduced to what may be logged: its sentences may quote the key or the conversation, so only
/// its identifiers are kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("status {status}, code {code}, type {kind}, param {param}")]
pub(super) struct ProviderError {
    /// The HTTP status; 0 for an error in the middle of a stream.
    status: u16,
    code: String,
    kind: String,
    param: String,
}

/// Longer than any identifier, shorter than any key.
const MAX_IDENTIFIER: usize = 40;

impl ProviderError {
    /// Reads the body of an error response.
    pub(super) fn from_response(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Self::read(status, body.get("error").unwrap_or(&body))
    }

    /// Reads an error event, which ends a stream in its middle.
    pub(super) fn from_event(error: &Value) -> Self {
        let code = &error["code"];
        // Some servers put the status into the code, as a number or as text.
        let status = code.as_u64().or_else(|| code.as_str()?.parse().ok());
        Self::read(status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default(), error)
    }

    fn read(status: u16, error: &Value) -> Self {
        let identifier = |name: &str| match &error[name] {
            Value::String(text) => loggable(text),
            Value::Number(number) => number.to_string(),
            _ => "-".to_owned(),
        };
        Self { status, code: identifier("code"), kind: identifier("type"), param: identifier("param") }
    }

    pub(super) fn into_agent_error(self) -> AgentError {
        AgentError::new(self.failure(), self)
    }

    /// The code is more specific than the status, and the status more than the type.
    fn failure(&self) -> Failure {
        let by_code = failure_by_identifier(&self.code).or_else(|| failure_by_status(self.status));
        by_code.or_else(|| failure_by_identifier(&self.kind)).unwrap_or(Failure::BrokenOff)
    }
}

fn failure_by_identifier(identifier: &str) -> Option<Failure> {
    Some(match identifier {
        "content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation" => Failure::Refused,
        "insufficient_quota"
        | "billing_not_active"
        | "invalid_api_key"
        | "authentication_error"
        | "auth_error"
        | "permission_error" => Failure::Denied,
        "context_length_exceeded"
        | "exceed_context_size_error"
        | "model_not_found"
        | "invalid_request_error"
        | "BadRequestError"
        | "not_found_error" => Failure::Rejected,
        "rate_limit_exceeded" | "rate_limit_error" | "overloaded_error" | "server_overloaded" => Failure::Overloaded,
        _ => return None,
    })
}

fn failure_by_status(status: u16) -> Option<Failure> {
    Some(match status {
        300..=399 | 401 | 402 | 403 | 407 => Failure::Denied,
        408 | 425 | 429 | 503 | 529 => Failure::Overloaded,
        400..=499 => Failure::Rejected,
        500..=599 => Failure::Unavailable,
        _ => return None,
    })
}

/// The text if it is an identifier; `?` otherwise.
fn loggable(text: &str) -> String {
    let is_identifier = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    let fits = (1..=MAX_IDENTIFIER).contains(&text.len()) && text.chars().all(is_identifier);
    if fits { text.to_owned() } else { "?".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_of_known_servers_map_to_failures() {
        let rate =
            json!({ "error": { "message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded" }});
        let rate_limit = json!({ "error": { "message": "You exceeded", "type": "insufficient_quota", "code": "insufficient_quota" }});
        let key = json!({ "error": { "message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key" }});
        let filter =
            json!({ "error": { "message": "filtered", "type": null, "code": "content_filter", "param": "prompt" }});
        let policy = json!({ "error": { "type": "invalid_request_error", "code": "content_policy_violation" }});
        let model = json!({ "error": { "type": "invalid_request_error", "code": "model_not_found" }});
        let vllm =
            json!({ "object": "error", "message": "too long", "type": "BadRequestError", "param": null, "code": 400 });
        let llama = json!({ "error": { "code": 503, "message": "Loading model", "type": "unavailable_error" }});
        for (status, body, failure) in [
            (429, &rate, Failure::Overloaded),
            (429, &rate_limit, Failure::Denied),
            (401, &key, Failure::Denied),
            (400, &filter, Failure::Refused),
            (400, &policy, Failure::Refused),
            (404, &model, Failure::Rejected),
            (400, &vllm, Failure::Rejected),
            (503, &llama, Failure::Overloaded),
            (401, &json!({ "error": "Unauthorized" }), Failure::Denied),
            (422, &Value::Null, Failure::Rejected),
            (500, &Value::Null, Failure::Unavailable),
            (502, &Value::Null, Failure::Unavailable),
            (307, &Value::Null, Failure::Denied),
        ] {
            let error = ProviderError::from_response(status, body.to_string().as_bytes());
            assert_eq!(error.failure(), failure, "{status} {body}");
        }
    }

    #[test]
    fn error_event_needs_no_status() {
        for (error, failure) in [
            (json!({ "code": 429, "message": "slow down" }), Failure::Overloaded),
            (json!({ "code": "502", "message": "upstream" }), Failure::Unavailable),
            (json!({ "type": "overloaded_error" }), Failure::Overloaded),
            (json!({ "type": "server_error", "code": null }), Failure::BrokenOff),
            (json!("it broke"), Failure::BrokenOff),
        ] {
            assert_eq!(ProviderError::from_event(&error).failure(), failure, "{error}");
        }
    }

    #[test]
    fn log_text_quotes_neither_key_nor_message() {
        let key = format!("sk-{}", "x".repeat(48));
        let body = json!({ "error": { "message": "Incorrect key sk-1", "type": "My name is Zoë", "code": key }});
        let logged = ProviderError::from_response(401, body.to_string().as_bytes()).to_string();
        assert_eq!(logged, "status 401, code ?, type ?, param -");
    }
}
