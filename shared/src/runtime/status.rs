//! The HTTP status of each error code.
//!
//! All three edges need it: REST responses, refused WebSocket handshakes, and the log line of every invocation.

use http::StatusCode;

use crate::domain::error::Code;

/// The HTTP status of an error code. Codes that only sockets see have the nearest one.
#[must_use]
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidJson
        | Code::InvalidParameter
        | Code::MissingParameter
        | Code::UnknownField
        | Code::UnknownType => StatusCode::BAD_REQUEST,
        Code::MissingApiKey | Code::InvalidApiKey | Code::InvalidTicket => StatusCode::UNAUTHORIZED,
        Code::TenantSuspended | Code::ChatAccessDenied | Code::ConnectionClosing => StatusCode::FORBIDDEN,
        Code::ChatNotFound | Code::MessageNotFound | Code::RouteNotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::GenerationInProgress => StatusCode::CONFLICT,
        Code::PayloadTooLarge | Code::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimitExceeded | Code::ConnectionLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal | Code::AgentError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::AgentTimeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status() {
        for code in Code::ALL {
            let status = status(code);
            assert!(status.is_client_error() || status.is_server_error(), "{code:?} is {status}");
        }
    }
}
