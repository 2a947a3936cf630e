//! The errors of a denied access: for a request, and for a connection that is open already.

use super::api_key::invalid_key;
use crate::domain::{
    error::{ApiError, Code},
    tenant::AccessDenied,
};

impl AccessDenied {
    /// The error that an open connection gets before it is closed.
    #[must_use]
    pub fn closing(self) -> ApiError {
        let (message, suggestion) = match self {
            Self::InvalidKey => (
                "The API key that opened this connection is not valid any more.",
                "Connect again with a key that is; it may have been revoked or have expired.",
            ),
            Self::Suspended => {
                ("Your tenant is suspended.", "Ask the operator of this service to resume it, then connect again.")
            }
        };
        ApiError::new(Code::ConnectionClosing, message, suggestion)
    }
}

impl From<AccessDenied> for ApiError {
    fn from(denied: AccessDenied) -> Self {
        match denied {
            AccessDenied::InvalidKey => invalid_key(),
            AccessDenied::Suspended => Self::new(
                Code::TenantSuspended,
                "Your tenant is suspended.",
                "Ask the operator of this service to resume it.",
            ),
        }
    }
}
