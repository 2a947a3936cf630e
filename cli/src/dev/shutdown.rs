//! Requests to stop the stack.

use std::io::Read;

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Why the stack was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShutdownReason {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM, or SIGHUP from a closed terminal.
    Terminate,
    /// The program that started the stack closed its stdin, or exited.
    StdinClosed,
}

impl ShutdownReason {
    /// The exit code that a shell expects: 0 for a stack that was ready, else the code of the signal.
    pub(super) fn exit_code(self, was_ready: bool) -> u8 {
        match self {
            _ if was_ready => 0,
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::StdinClosed => 1,
        }
    }
}

/// Waits for a request to stop. Clones wait for the same request.
#[derive(Debug, Clone)]
pub(super) struct Shutdown(watch::Receiver<Option<ShutdownReason>>);

impl Shutdown {
    /// Starts to listen for signals and, if `stdin` is set, for the end of stdin.
    pub(super) fn listen(stdin: bool) -> Result<Self> {
        let (sender, receiver) = watch::channel(None);
        for (kind, reason) in [
            (SignalKind::interrupt(), ShutdownReason::Interrupt),
            (SignalKind::terminate(), ShutdownReason::Terminate),
            (SignalKind::hangup(), ShutdownReason::Terminate),
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
            // A blocking read needs a thread of its own, which does not delay the exit of the program.
            std::thread::spawn(move || {
                let mut buffer = [0; 256];
                while std::io::stdin().read(&mut buffer).is_ok_and(|read| read > 0) {}
                sender.send_replace(Some(ShutdownReason::StdinClosed));
            });
        }
        Ok(Self(receiver))
    }

    /// Waits for the request.
    pub(super) async fn requested(mut self) -> ShutdownReason {
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
    fn only_a_stack_that_was_never_ready_fails() {
        for reason in [ShutdownReason::Interrupt, ShutdownReason::Terminate, ShutdownReason::StdinClosed] {
            assert_eq!(reason.exit_code(true), 0);
            assert_ne!(reason.exit_code(false), 0);
        }
    }
}
