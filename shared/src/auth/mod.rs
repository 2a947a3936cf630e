//! API key → tenant → access.
//!
//! May import `domain`, `runtime` and `storage`. In order: `api_key`, `key_denied`, `authenticator`, `chat_access`.

mod api_key;
mod authenticator;
mod chat_access;
mod key_denied;

pub use api_key::API_KEY_HEADER;
pub use authenticator::{Admitted, Authenticator, RECHECK_INTERVAL, Tenant};
pub use chat_access::check_chat_access;
