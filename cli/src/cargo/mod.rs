//! The Rust toolchain: the workspace of the functions, and their builds.

mod build;
mod program;
mod workspace;

pub(crate) use build::build_binaries;
pub(crate) use program::{cargo, rustc};
pub(crate) use workspace::Workspace;
