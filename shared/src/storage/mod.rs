//! The DynamoDB tables. One file a kind of item; each knows its keys, and nothing outside this folder does.
//!
//! Items are written and read by `serde_dynamo`. Every call takes the tenant and puts it into the key, so a query that
//! could reach another tenant's data does not compile.

mod chats;
mod connections;
mod error;
mod generations;
mod item;
mod maintenance_queue;
mod messages;
mod tenants;
mod transaction;
mod users;

pub use chats::{
    Candidate, Candidates, ChatPosition, Chats, Conversation, CreateResult, IdempotencyRequest, Idle, Idleness, Kind,
    Listed, Owned, OwnedPage, Record, Remains, UserChats,
};
pub use connections::{Connection, ConnectionGrant, ConnectionSlot, Connections, FrameAdmission};
pub use error::StorageError;
use error::unless_refused;
pub use generations::{
    ActiveStream, CommandPoll, FinishResult, FinishedGeneration, Generation, GenerationLease, Outcome,
    RegenerateResult, ResumeCommand, RunningGeneration, Takeover,
};
pub use maintenance_queue::{After, MaintenanceQueue, QueueEntry, QueuePage, QueueShard};
pub use messages::{AppendResult, Exchange, NewMessage};
pub use tenants::{
    AccessDenied, Admission, KeyRecord, NewKey, NewLimits, NewTenant, TenantAccess, TenantRecord, TenantStatus, Tenants,
};
pub use users::UserRecord;
