//! Where a local stack is, and the key to it.

/// The port of the local stack, unless the developer chooses another one.
pub(crate) const DEFAULT_PORT: u16 = 8000;

/// The API key of the demo tenant, which the documentation uses. It is public, so only a stack on this machine has it.
pub(crate) const DEMO_API_KEY: &str = "your-tenant-api-key";
