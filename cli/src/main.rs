//! The `chat` command. Start with `cargo chat dev`.
//!
//! Its programs have a folder each: `dev` runs the whole stack on this machine, `admin` manages tenants, keys, users and usage,
//! `package` builds what a deployment needs, `talk` is a chat in the terminal. None imports another. What they share lies beside them: `terminal` prints,
//! `process` starts and stops other programs, `cargo` and `tools` run the Rust toolchain and what is fetched for it.

mod admin;
mod async_runtime;
mod cargo;
mod command_line;
mod dev;
mod file;
mod local_aws;
mod local_stack;
mod package;
mod process;
mod table;
mod talk;
mod terminal;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    command_line::run()
}
