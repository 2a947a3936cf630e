//! The DynamoDB tables. One file a kind of item; each knows its keys, and nothing outside this folder does.
//!
//! Items are written and read by `serde_dynamo`. Every call takes the tenant and puts it into the key, so a query that
//! could reach another tenant's data does not compile.

mod chats;
mod connections;
mod error;
mod messages;
mod tenants;
mod transaction;
mod users;

pub use chats::{Chats, Conversation, Created, LiveStream, Once, Seen};
pub use connections::{Connection, Connections, Heard, Pass};
pub use error::StoreError;
pub use messages::{Appended, Exchange, Outcome, Reply};
pub use tenants::{Admission, Gate, KeyRecord, Lease, NewKey, NewTenant, Shut, TenantRecord, TenantStatus, Tenants};
