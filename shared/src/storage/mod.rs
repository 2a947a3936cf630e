//! DynamoDB: one repository per aggregate, each over a private table client.
//!
//! A call on a tenant's data takes the `TenantId` and puts it into the key, so a query that could reach another tenant's
//! data does not compile. Calls without one find an API key, a connection or a ticket, whose item names its tenant, or
//! are for maintenance and the command line. Only this layer knows keys, attributes and expressions. It applies no policy and writes no logs or metrics.
//! May import `domain` and `runtime`.
//!
//! Each file imports only files above it in this list:
//!
//! | files | what lives there |
//! |---|---|
//! | `error`, `item`, `conditional` | errors, attributes and layout versions, outcomes of conditions |
//! | `table`, `transaction`, `batch` | the table client, transactions of typed parts, batches, retries |
//! | `keys` | keys of the chats table |
//! | `tenant_index`, `maintenance_queue` | what several aggregates share: the indexes |
//! | `message_rate_limit`, `frame_refusals`, `rate_limit` | windows, as expressions |
//! | `records` | how aggregates are stored |
//! | `budgets`, `usage`, `chat_state`, `chunks`, `message_items`, `generation_end`, `settlement` | items that several repositories use |
//! | `generation_lease`, `generations` | generations: the owner's handle, everyone else's |
//! | `messages` | messages |
//! | `users`, `idempotency`, `chats` | chats, and what changes with them |
//! | `connection_slots`, `connections`, `tickets` | the connections table |
//! | `tenants` | the tenants table |
//!
//! In a folder, all files import `repository`; `mod.rs` only declares and re-exports.

mod batch;
mod budgets;
mod chat_state;
mod chats;
mod chunks;
mod conditional;
mod connection_slots;
mod connections;
mod error;
mod frame_refusals;
mod generation_end;
mod generation_lease;
mod generations;
mod idempotency;
mod item;
mod keys;
mod maintenance_queue;
mod message_items;
mod message_rate_limit;
mod messages;
mod rate_limit;
mod records;
mod settlement;
mod table;
mod tenant_index;
mod tenants;
mod tickets;
mod transaction;
mod usage;
mod users;

pub use budgets::{BudgetAdmission, BudgetRepository, BudgetStatus};
pub use chat_state::RemovedGeneration;
pub use chats::{
    ChatIdPage, ChatList, ChatRepository, CreateResult, IdleCandidate, IdleCandidatePage, IdleChat, IdleCheck,
    PendingWork, PurgeStep,
};
pub use connection_slots::{ConnectionSlotRepository, SlotAdmission};
pub use connections::{ConnectionRepository, FrameAdmission, ReplayLease};
pub use error::StorageError;
pub use frame_refusals::Refusal;
pub use generation_lease::{FinishResult, GenerationLease, PendingCommands};
pub use generations::{EndedGeneration, GenerationRepository, RegenerateResult, Takeover};
pub use idempotency::{IdempotencyRepository, IdempotencyRequest};
pub use maintenance_queue::{MaintenanceQueue, QueueEntry, QueuePage, QueueShard};
pub use messages::{AppendResult, Conversation, Exchange, MessageRepository};
pub use records::{
    chat::ChatPosition,
    generation::{Generation, ResumeCommand, RunningGeneration},
    message::NewMessage,
};
pub use table::IndexCursor;
pub use tenant_index::{IdempotencyRecordKey, TenantIndex, TenantItem, TenantItemKind, TenantItemPage};
pub use tenants::{Admission, TenantRepository};
pub use tickets::TicketRepository;
pub use usage::{ModelUsage, RETENTION_DAYS as USAGE_RETENTION_DAYS, UsageRepository, UserUsage};
pub use users::{UserRecord, UserRepository};
