//! A terminal that does not show what is typed.

use std::io::stdin;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Until it is dropped, the terminal does not show what is typed: `^C` would stand in the middle of an answer. The next prompt
/// reads it all the same.
pub(super) struct EchoOff {
    before: Option<Termios>,
}

impl EchoOff {
    pub(super) fn new() -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            // A terminal that cannot do it shows what is typed.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &silent);
        }
        Self { before }
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
