//! What the suites and benches have in common: a running stack, tenants of one's own, and clients as strangers would
//! write them.
//!
//! The stack is the real one: `chat dev` with the function binaries behind cargo-lambda's Lambda APIs, DynamoDB Local
//! in memory, free ports. It is started once a process and stops when the process ends, however that happens.

mod api;
mod clients;
mod documents;
mod exposed;
mod household;
mod lambda;
mod logs;
mod management;
mod proxy;
mod python;
mod refusal;
mod stack;
mod storm;

pub use api::{Api, Customer};
pub use clients::{Answer, Heard, Socket, Tenant, eventually};
pub use exposed::Exposed;
pub use household::{Household, Resident};
pub use lambda::Lambda;
pub use management::{Answer as PostAnswer, ManagementApi, Manner, Post, management_client};
pub use proxy::{Fault, Proxy, Weather, pass_on};
pub use python::{python_from, python_with};
pub use stack::{Options, Stack};
pub use storm::{Luck, Storm, seeds};
