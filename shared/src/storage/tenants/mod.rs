//! Tenants and their API keys.
//!
//! | `pk` | item |
//! |---|---|
//! | `key#{sha256 of the key}` | `tenant_id`: whose key it is, until the key expires |
//! | `tenant#{tenant_id}` | the tenant's access: status, keys, limits, rate limit windows, defaults |
//!
//! The access item stays below 1 KB, the unit of writes. One conditional update of it admits a request: the key is live,
//! the tenant is active, the limit is not reached, and the request is counted. If the condition fails, DynamoDB returns
//! the item, which says why.

mod admit;
mod delete;
mod manage;
mod repository;
mod retention;

pub use admit::Admission;
pub use repository::TenantRepository;
