//! Where a client can receive each error code. A new code does not compile until it is listed here.

use shared::domain::error::Code;

/// The places in which a client can receive a code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// In the body of an HTTP response.
    pub(super) rest: bool,
    /// As the status of a refused handshake.
    pub(super) handshake: bool,
    /// In an `error` event.
    pub(super) event: bool,
}

pub(super) fn places(code: Code) -> Places {
    let (rest, handshake, event) = match code {
        Code::InvalidParameter
        | Code::MissingParameter
        | Code::UnknownField
        | Code::ChatNotFound
        | Code::RateLimitExceeded
        | Code::Internal
        | Code::Unavailable => (true, true, true),
        Code::MissingApiKey | Code::InvalidApiKey | Code::TenantSuspended => (true, true, false),
        Code::InvalidJson => (true, false, true),
        Code::RouteNotFound
        | Code::MethodNotAllowed
        | Code::PayloadTooLarge
        | Code::UnsupportedMediaType
        | Code::IdempotencyMismatch => (true, false, false),
        Code::InvalidTicket | Code::ChatAccessDenied | Code::ConnectionLimitExceeded => (false, true, false),
        Code::MessageNotFound
        | Code::GenerationInProgress
        | Code::GenerationLimitExceeded
        | Code::MessageRateExceeded
        | Code::QuotaExceeded
        | Code::AgentError
        | Code::AgentTimeout
        | Code::ConnectionClosing
        | Code::UnknownType
        | Code::MessageTooLarge => (false, false, true),
    };
    Places { rest, handshake, event }
}
