//! The functions and the Lambda emulator: either `cargo lambda watch` rebuilds and runs the functions, or they are built
//! once and supervised here.

mod emulator;
mod output;
mod supervisor;

pub(super) use emulator::{Emulator, EmulatorSettings};
pub(super) use output::FunctionOutput;
pub(super) use supervisor::Supervisor;
