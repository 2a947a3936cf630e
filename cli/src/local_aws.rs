//! The region and credentials of the local stack. DynamoDB Local accepts any, but every client must send the same.

/// The region of the local stack.
pub(crate) const REGION: &str = "us-east-1";
/// DynamoDB Local accepts letters and digits only.
pub(crate) const ACCESS_KEY: &str = "local";
/// The secret of [`ACCESS_KEY`].
pub(crate) const SECRET_KEY: &str = "local";
