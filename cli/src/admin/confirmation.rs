//! Confirmation of what cannot be undone.

use std::io::{IsTerminal, stdin};

use anyhow::{Result, bail};

use crate::terminal::Terminal;

/// The flag that confirms in advance.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Asks the operator to type the name of what will be erased, unless the flag is given.
    ///
    /// # Errors
    ///
    /// When another name is typed, or there is no terminal to ask on.
    pub(super) fn require(self, terminal: &Terminal, what: &str, name: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if terminal.is_json() || !stdin().is_terminal() {
            bail!("this erases {what}, which cannot be undone: pass --yes to confirm");
        }
        terminal.warning(format_args!("This erases {what}, which cannot be undone."));
        if terminal.ask(&format!("Type {name} to continue: "))? != name {
            bail!("nothing was erased: what you typed is not {name}");
        }
        Ok(())
    }
}
