//! What the suites and benches have in common: a running stack, tenants of one's own, and clients as strangers would
//! write them.
//!
//! The stack is the real one: `chat dev` with the function binaries behind cargo-lambda's Lambda APIs, DynamoDB Local
//! in memory, free ports. It is started once a process and stops when the process ends, however that happens.

mod clients;
mod documents;
mod lambda;
mod logs;
mod management;
mod proxy;
mod python;
mod stack;

pub use clients::{Answer, Socket, Tenant, eventually};
pub use lambda::Lambda;
pub use management::{Answer as PostAnswer, ManagementApi, Manner, Post, management_client};
pub use proxy::{Fault, Proxy, pass_on};
pub use python::python_with;
pub use stack::{Options, Stack};
