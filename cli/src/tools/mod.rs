//! Tools that are fetched once into `target/tools`: pinned, verified, and either complete or absent.

mod cargo_lambda;
mod dynamodb_local;
mod folder;
mod java;
mod local_llm;
mod node;
mod pip;
mod zig;

pub(crate) use cargo_lambda::CargoLambda;
pub(crate) use dynamodb_local::DynamoDbLocal;
pub(crate) use folder::ToolFolder;
pub(crate) use java::Java;
pub(crate) use local_llm::LocalLlm;
pub(crate) use node::Node;
pub(crate) use zig::Zig;
