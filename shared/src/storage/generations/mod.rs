//! Generations: assistant messages while they are generated.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `message#{seq}` | the assistant message, `streaming`, with `lease: {token, expires_at}` |
//! | `{tenant_id}#{chat_id}` | `draft#{message_id}` | a regeneration, until it replaces the old message |
//! | `{tenant_id}#{chat_id}` | `chunk#…` | the saved text, see `chunks` |
//! | `{tenant_id}#{chat_id}` | `~state` | in `generations`, those that run, with their stream commands |
//!
//! The owner writes through its [`GenerationLease`](crate::storage::GenerationLease). All others read, leave stream
//! commands, and take over when the lease has expired.

mod regenerate;
mod repository;
mod stream_commands;
mod takeover;

pub use regenerate::RegenerateResult;
pub use repository::GenerationRepository;
pub use takeover::{EndedGeneration, Takeover};
