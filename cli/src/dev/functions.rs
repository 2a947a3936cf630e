//! The functions and the Lambda emulator in front of them, in one of two ways: reloaded on changes by `cargo lambda
//! watch` itself, or built once and supervised here.

mod emulator;
mod output;
mod supervised;

pub(super) use emulator::{Emulator, Setup};
pub(super) use output::Output;
pub(super) use supervised::Supervisor;
