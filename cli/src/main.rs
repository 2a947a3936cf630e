//! The `chat` command. `cargo chat dev` is where to begin.

use std::process::ExitCode;

fn main() -> ExitCode {
    chat::main()
}
