//! Where each error code can be met. A code that is new does not compile until it is said here.

use shared::domain::error::Code;

/// Where a code can be met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// In the body of an HTTP answer.
    pub(super) rest: bool,
    /// As the status of a refused handshake.
    pub(super) handshake: bool,
    /// In an `error` event.
    pub(super) event: bool,
}

pub(super) fn seen(code: Code) -> Seen {
    let (rest, handshake, event) = match code {
        Code::InvalidParameter
        | Code::MissingParameter
        | Code::UnknownField
        | Code::ChatNotFound
        | Code::Internal
        | Code::Unavailable => (true, true, true),
        Code::MissingApiKey | Code::InvalidApiKey | Code::TenantSuspended => (true, true, false),
        // Connecting is not counted, only how many connections there are.
        Code::InvalidJson | Code::RateLimitExceeded => (true, false, true),
        Code::RouteNotFound
        | Code::MethodNotAllowed
        | Code::PayloadTooLarge
        | Code::UnsupportedMediaType
        | Code::IdempotencyMismatch => (true, false, false),
        Code::InvalidTicket | Code::ChatAccessDenied | Code::ConnectionLimitExceeded => (false, true, false),
        Code::MessageNotFound
        | Code::GenerationInProgress
        | Code::AgentError
        | Code::AgentTimeout
        | Code::ConnectionClosing
        | Code::UnknownType
        | Code::MessageTooLarge => (false, false, true),
    };
    Seen { rest, handshake, event }
}
