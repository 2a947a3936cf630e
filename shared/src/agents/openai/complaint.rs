//! What goes wrong, as the servers say it: they agree on the statuses, not on the words.

use serde_json::Value;

use crate::agents::{AgentError, Failure};

/// An error of the provider, as far as it may be logged: what it says in sentences may quote the key or the
/// conversation, so only its identifiers are kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("status {status}, code {code}, type {kind}, param {param}")]
pub(super) struct Complaint {
    /// The HTTP status; 0 in the middle of an answer.
    status: u16,
    code: String,
    kind: String,
    param: String,
}

/// Longer than any identifier, shorter than any key.
const MAX_IDENTIFIER: usize = 40;

impl Complaint {
    /// Reads the body of an answer that is none.
    pub(super) fn of_response(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Self::read(status, body.get("error").unwrap_or(&body))
    }

    /// Reads the error that ends an answer in its middle.
    pub(super) fn in_answer(error: &Value) -> Self {
        let code = &error["code"];
        // Some put the status into the code, as a number or as text.
        let status = code.as_u64().or_else(|| code.as_str()?.parse().ok());
        Self::read(status.and_then(|status| u16::try_from(status).ok()).unwrap_or_default(), error)
    }

    fn read(status: u16, error: &Value) -> Self {
        let identifier = |name: &str| match &error[name] {
            Value::String(text) => shown(text),
            Value::Number(number) => number.to_string(),
            _ => "-".to_owned(),
        };
        Self { status, code: identifier("code"), kind: identifier("type"), param: identifier("param") }
    }

    pub(super) fn into_error(self) -> AgentError {
        AgentError::new(self.failure(), self)
    }

    /// The names say more than the status, and the code more than the type.
    fn failure(&self) -> Failure {
        named(&self.code).or_else(|| of_status(self.status)).or_else(|| named(&self.kind)).unwrap_or(Failure::BrokenOff)
    }
}

fn named(name: &str) -> Option<Failure> {
    Some(match name {
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

fn of_status(status: u16) -> Option<Failure> {
    Some(match status {
        300..=399 | 401 | 402 | 403 | 407 => Failure::Denied,
        408 | 425 | 429 | 503 | 529 => Failure::Overloaded,
        400..=499 => Failure::Rejected,
        500..=599 => Failure::Unavailable,
        _ => return None,
    })
}

/// An identifier, or that there was something else.
fn shown(text: &str) -> String {
    let is_identifier = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    let fits = (1..=MAX_IDENTIFIER).contains(&text.len()) && text.chars().all(is_identifier);
    if fits { text.to_owned() } else { "?".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_servers_complaints_are_understood() {
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
            let complaint = Complaint::of_response(status, body.to_string().as_bytes());
            assert_eq!(complaint.failure(), failure, "{status} {body}");
        }
    }

    #[test]
    fn in_an_answer_the_error_speaks_for_itself() {
        for (error, failure) in [
            (json!({ "code": 429, "message": "slow down" }), Failure::Overloaded),
            (json!({ "code": "502", "message": "upstream" }), Failure::Unavailable),
            (json!({ "type": "overloaded_error" }), Failure::Overloaded),
            (json!({ "type": "server_error", "code": null }), Failure::BrokenOff),
            (json!("it broke"), Failure::BrokenOff),
        ] {
            assert_eq!(Complaint::in_answer(&error).failure(), failure, "{error}");
        }
    }

    #[test]
    fn what_is_logged_quotes_nobody() {
        let key = format!("sk-{}", "x".repeat(48));
        let body = json!({ "error": { "message": "Incorrect key sk-1", "type": "My name is Zoë", "code": key }});
        let logged = Complaint::of_response(401, body.to_string().as_bytes()).to_string();
        assert_eq!(logged, "status 401, code ?, type ?, param -");
    }
}
