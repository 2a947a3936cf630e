//! Why the stack stops when nothing is wrong with it.

use std::io::Read;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Who asked the stack to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or a terminal that was closed.
    Terminate,
    /// The program that started the stack closed its stdin, or is gone.
    StdinClosed,
}

impl Reason {
    /// What a shell makes of a program that this stopped before it had done its work. A stack that ran has done its.
    pub(super) fn exit_code(self, was_ready: bool) -> u8 {
        match self {
            _ if was_ready => 0,
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::StdinClosed => 1,
        }
    }
}

/// Tells when the stack is to stop. Clones tell the same.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<Option<Reason>>);

impl Stop {
    /// Begins to listen for signals and, if wanted, for the end of stdin.
    pub(super) fn listen(stdin: bool) -> Result<Self> {
        let (sender, receiver) = watch::channel(None);
        for (kind, reason) in [
            (SignalKind::interrupt(), Reason::Interrupt),
            (SignalKind::terminate(), Reason::Terminate),
            (SignalKind::hangup(), Reason::Terminate),
        ] {
            let mut signals = signal(kind).context("failed to listen for signals")?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    sender.send_replace(Some(reason));
                }
            });
        }
        if stdin {
            // A thread of its own, which may block for ever: the end of the program does not wait for it.
            std::thread::spawn(move || {
                let mut buffer = [0; 256];
                while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
                sender.send_replace(Some(Reason::StdinClosed));
            });
        }
        Ok(Self(receiver))
    }

    /// Waits until the stack is to stop.
    pub(super) async fn requested(mut self) -> Reason {
        let reason = self.0.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stack_that_never_ran_fails() {
        for reason in [Reason::Interrupt, Reason::Terminate, Reason::StdinClosed] {
            assert_eq!(reason.exit_code(true), 0);
            assert_ne!(reason.exit_code(false), 0);
        }
    }
}
