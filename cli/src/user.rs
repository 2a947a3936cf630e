//! `chat user`: what is stored of a user of a tenant, for those who ask for it, or want it gone.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use shared::domain::id::UserId;

use crate::admin::{self, Admin, Consent, PlaceOptions};

/// The flags of `chat user`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = admin::HELP)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    place: PlaceOptions,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// Write all chats of a user with their messages as one JSON document, to stdout or into a file.
    #[command(after_help = admin::HELP)]
    Export(Export),
    /// Delete all chats of a user, end what runs in them, close the user's sockets, and forget the user. It may be run
    /// again until nothing is left.
    #[command(after_help = admin::HELP)]
    Erase(Erase),
}

#[derive(Debug, Clone, clap::Args)]
struct User {
    /// The tenant's id, or its name if no other has the same
    tenant: String,
    /// The user, as the tenant calls it
    #[arg(value_parser = user_id)]
    user_id: UserId,
}

#[derive(Debug, Clone, clap::Args)]
struct Export {
    #[command(flatten)]
    user: User,
    /// The file to write; it is there only once it is whole, and readable by you alone
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct Erase {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(crate) fn main(options: Options) -> ExitCode {
    let Options { verb, mut place } = options;
    // Where stdout gets the document, what people read goes to stderr.
    place.json |= matches!(verb, Verb::Export(Export { output: None, .. }));
    admin::main(&place, async |admin| match verb {
        Verb::Export(export) => export.run(admin).await,
        Verb::Erase(erase) => erase.run(admin).await,
    })
}

impl Export {
    async fn run(self, admin: &Admin) -> Result<()> {
        let tenant = admin.tenant(&self.user.tenant).await?;
        admin.export_user(&tenant, &self.user.user_id, self.output.as_deref()).await
    }
}

impl Erase {
    async fn run(self, admin: &Admin) -> Result<()> {
        let User { tenant, user_id } = self.user;
        let tenant = admin.tenant(&tenant).await?;
        let what = format!("all chats of the user {user_id} of the tenant {}", tenant.access.name);
        self.consent.ask(admin, &what, user_id.as_str())?;
        admin.erase_user(&tenant, &user_id).await
    }
}

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::parse(text).ok_or_else(|| format!("expected {}", UserId::ALLOWED))
}
