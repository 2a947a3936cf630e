//! The DynamoDB tables. One file a kind of item; each knows its keys, and nothing outside this folder does.
//!
//! Items are written and read by `serde_dynamo`. Every call takes the tenant and puts it into the key, so a query that
//! could reach another tenant's data does not compile.

mod chats;
mod connections;
mod due;
mod error;
mod item;
mod messages;
mod streams;
mod tenants;
mod transaction;
mod users;

pub use chats::{
    Candidate, Candidates, Chats, Conversation, Created, Idle, Idleness, Kind, Listed, Once, Owned, OwnedPage, Record,
    Remains, Seen, UserChats,
};
pub use connections::{Connection, Connections, Heard, Lease, Pass};
pub use due::{After, Agenda, Due, DuePage, Shard};
pub use error::StoreError;
use error::unless_refused;
pub use messages::{Appended, Exchange, NewMessage};
pub use streams::{Answer, Begun, Finished, Hold, Lapsed, LiveStream, Look, Outcome, Reply, Resume, StreamRecord};
pub use tenants::{
    Admission, Gate, KeyRecord, NewKey, NewLimits, NewTenant, Shut, TenantRecord, TenantStatus, Tenants,
};
pub use users::UserRecord;
