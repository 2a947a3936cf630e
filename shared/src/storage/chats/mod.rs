//! Chats.
//!
//! | `pk` | `sk` | item |
//! |---|---|---|
//! | `{tenant_id}#{chat_id}` | `~profile` | what changes seldom: owner, title, metadata, configuration |
//! | `{tenant_id}#{chat_id}` | `~state` | what changes with every message: counter, last activity, running generations |
//! | `{tenant_id}#{chat_id}` | `message#…`, `client_message#…` | see `messages` |
//! | `{tenant_id}#{chat_id}` | `draft#…`, `chunk#…` | see `generations` |
//!
//! An update is billed by the size of the whole item, so a chat has two. Only the state is in the indexes: `by_owner`
//! (`owner` = `{tenant_id}#{user_id}`, `active_at`) lists a user's chats by last activity, `by_tenant` what a tenant has
//! (see `tenant_index`), `by_maintenance` what is queued (see `maintenance_queue`).

mod create;
mod delete;
mod idle;
mod list;
mod maintenance;
mod repository;
mod update;

pub use create::CreateResult;
pub use delete::PurgeStep;
pub use idle::{IdleCandidate, IdleCandidatePage, IdleChat, IdleCheck};
pub use list::{ChatIdPage, ChatList};
pub use maintenance::PendingWork;
pub use repository::ChatRepository;
