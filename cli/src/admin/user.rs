//! `chat user`: exports and erases the data of a user, for requests of data protection.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use shared::domain::id::UserId;

use super::{
    confirmation::Confirmation,
    deployment::DeploymentOptions,
    help::AFTER_HELP,
    session::{self, AdminSession},
};

/// The flags of `chat user`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    deployment: DeploymentOptions,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Action {
    /// Write all chats of a user with their messages as one JSON document, to stdout or to a file.
    #[command(after_help = AFTER_HELP)]
    Export(Export),
    /// Delete a user with all chats, end running answers, and close the user's sockets. Can be run again until nothing
    /// is left.
    #[command(after_help = AFTER_HELP)]
    Erase(Erase),
}

#[derive(Debug, Clone, clap::Args)]
struct User {
    /// The tenant's id, or its name if no other tenant has the same
    tenant: String,
    /// The user's id, as the tenant chose it
    #[arg(value_parser = user_id)]
    user_id: UserId,
}

#[derive(Debug, Clone, clap::Args)]
struct Export {
    #[command(flatten)]
    user: User,
    /// The file to write: it appears once it is complete, and only you can read it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct Erase {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Runs the command.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { action, mut deployment } = options;
    // The document goes to stdout, so lines for people go to stderr.
    deployment.json |= matches!(action, Action::Export(Export { output: None, .. }));
    session::run(&deployment, async |admin| match action {
        Action::Export(export) => export.run(admin).await,
        Action::Erase(erase) => erase.run(admin).await,
    })
}

impl Export {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let tenant = admin.tenant(&self.user.tenant).await?;
        admin.export_user(&tenant, &self.user.user_id, self.output.as_deref()).await
    }
}

impl Erase {
    async fn run(self, admin: &AdminSession) -> Result<()> {
        let User { tenant, user_id } = self.user;
        let tenant = admin.tenant(&tenant).await?;
        let what = format!("all chats of the user {user_id} of the tenant {}", tenant.access.name);
        self.confirmation.require(&admin.terminal, &what, user_id.as_str())?;
        admin.erase_user(&tenant, &user_id).await
    }
}

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::parse(text).ok_or_else(|| format!("expected {}", UserId::ALLOWED))
}
