//! The harness of the end-to-end tests and benches: a running stack, tenants, clients, and faults.
//!
//! The stack is the real one: `chat dev` with the function binaries behind cargo-lambda's Lambda APIs, DynamoDB Local
//! in memory, free ports. Each test process starts one and stops it when the process ends, however it ends.

mod api;
mod clients;
mod cutting_proxy;
mod documents;
mod fault_profile;
mod fault_proxy;
mod fault_response;
mod faulty_stack;
mod fixtures;
mod lambda_runtime;
mod limits;
mod logs;
mod management_stub;
mod markdown;
mod model_server;
mod node;
mod python;
mod stack;

pub use api::{Api, Customer};
pub use clients::{Received, Response, Socket, Tenant, eventually};
pub use cutting_proxy::{CuttingProxy, Fate};
pub use fault_profile::{FaultProfile, Random, RandomFaults, seeds};
pub use fault_proxy::{Fault, FaultProxy};
pub use faulty_stack::FaultyStack;
pub use fixtures::{TableFixture, TenantFixture, new_message};
pub use lambda_runtime::{LambdaRuntime, frame_event};
pub use limits::{take_slot, unreached_limits};
pub use management_stub::{ManagementStub, Post, PostResult, SocketBehavior, management_client};
pub use markdown::{Document, replace};
pub use model_server::serve_model;
pub use node::node;
pub use python::{python_from, python_with};
pub use stack::{Options, Stack};
