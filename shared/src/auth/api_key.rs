//! The API key of a request: where it is sent, and the errors when it is missing or invalid.

use crate::domain::{
    api_key::{ApiKey, KeyHash},
    error::{ApiError, Code},
};

/// The header of the API key.
pub const API_KEY_HEADER: &str = "x-api-key";

/// Hashes the key of a request.
///
/// # Errors
///
/// `MISSING_API_KEY`; `INVALID_API_KEY` when its checksum is wrong.
pub(super) fn hash_key(key: Option<&str>) -> Result<KeyHash, ApiError> {
    let key = ApiKey::new(key.filter(|key| !key.is_empty()).ok_or_else(missing_key)?);
    if key.is_plausible() { Ok(key.hash()) } else { Err(invalid_key()) }
}

/// The error for a key that is unknown, expired or revoked.
pub(super) fn invalid_key() -> ApiError {
    ApiError::new(
        Code::InvalidApiKey,
        "This API key is not valid.",
        "Check the key; it may have been revoked or have expired.",
    )
}

fn missing_key() -> ApiError {
    ApiError::new(
        Code::MissingApiKey,
        "No API key was sent.",
        "Send your tenant's API key in the header X-API-Key; when opening a WebSocket, the query parameter api_key \
         or a ticket will do.",
    )
}
