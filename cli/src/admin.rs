//! What `chat tenant`, `chat key` and `chat user` have in common: where the tables are, how tenants and keys are found and shown,
//! how errors are told.
//!
//! There is no admin API on the network. These commands write to the tables themselves, so whoever may do that on AWS
//! (IAM says who) is an operator, and nobody else.

mod erase;
mod explain;
mod export;
mod find;
mod place;
mod show;
mod sockets;
mod values;

use std::process::ExitCode;

use anyhow::{Error, Result, anyhow};
use serde_json::{Value, json};
use shared::domain::tenant::TenantRecord;
use shared::domain::time::Timestamp;
use shared::storage::{
    ChatRepository, ConnectionRepository, IdempotencyRepository, MessageRepository, TenantIndex, TenantRepository,
    UserRepository,
};

pub(crate) use erase::Consent;
pub(crate) use find::{key_of, live_key_of, no_key};
pub(crate) use place::PlaceOptions;
pub(crate) use show::{kept, key, keys, keys_table, limits, live_keys, tenant, tenant_lines, tenants_table, when};
pub(crate) use sockets::{Closing, Patience};
pub(crate) use values::{Keep, age, connections, environment, field, keep, key_text, moment, name, per_minute};

use crate::terminal::{Colour, Terminal};
use place::Place;

/// The end of the help of each command.
pub(crate) const HELP: &str = "\
With --json, stdout gets one JSON object in one line, and what people read goes to stderr.
When a command fails, that object has {\"error\": {\"message\": \"…\"}}, beside what was done before.
Exit codes: 0 done, 1 failed, 2 the arguments are wrong.";

/// The tables and sockets of a stack, wherever it is.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Where to print.
    pub(crate) terminal: Terminal,
    /// Tenants and keys.
    pub(crate) tenants: TenantRepository,
    chats: ChatRepository,
    messages: MessageRepository,
    users: UserRepository,
    idempotency: IdempotencyRepository,
    tenant_index: TenantIndex,
    connections: ConnectionRepository,
    management: aws_sdk_apigatewaymanagement::Client,
    place: Place,
}

/// Does some work on the tables, and tells what became of it.
pub(crate) fn main(options: &PlaceOptions, work: impl AsyncFnOnce(&Admin) -> Result<()>) -> ExitCode {
    let terminal = Terminal::new(options.json);
    let result =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            runtime.block_on(async {
                let admin = Box::pin(options.open(terminal.clone())).await?;
                Box::pin(work(&admin)).await.map_err(|error| admin.explain(error))
            })
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let HalfDone { mut event, error } = HalfDone::from(error);
            let message = format!("{error:#}");
            terminal.refusal(&message);
            event["error"] = json!({"message": message});
            terminal.event(&event);
            ExitCode::FAILURE
        }
    }
}

/// A command that failed after it had done something that programs have to hear of.
#[derive(Debug)]
pub(crate) struct HalfDone {
    /// What was done.
    pub(crate) event: Value,
    /// What was not.
    pub(crate) error: Error,
}

impl std::fmt::Display for HalfDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for HalfDone {}

impl From<Error> for HalfDone {
    fn from(error: Error) -> Self {
        error.downcast().unwrap_or_else(|error| Self { event: json!({}), error })
    }
}

impl Admin {
    /// How many connections a tenant has open.
    pub(crate) async fn connections(&self, tenant: &TenantRecord) -> Result<usize> {
        Ok(self.connections.slots().list(&tenant.tenant_id).await?.len())
    }

    /// A tenant for programs.
    pub(crate) async fn shown(&self, tenant: &TenantRecord) -> Result<Value> {
        Ok(show::tenant(tenant, self.connections(tenant).await?, Timestamp::now()))
    }

    /// Says to programs what was done, and fails if sockets stay open that should not.
    pub(crate) fn conclude(&self, mut event: Value, closing: &Closing) -> Result<()> {
        event["sockets"] = closing.to_json();
        match closing.unfinished() {
            Some(left) => Err(HalfDone { event, error: anyhow!(left) }.into()),
            None => {
                self.terminal.event(&event);
                Ok(())
            }
        }
    }

    /// Says of an error of the tables what an operator can do.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error.downcast() {
            Ok(HalfDone { event, error }) => HalfDone { event, error: self.place.explain(error) }.into(),
            Err(error) => self.place.explain(error),
        }
    }

    /// Says that something is done.
    pub(crate) fn done(&self, text: impl std::fmt::Display) {
        self.terminal.line(format_args!("{} {text}", self.terminal.paint(Colour::Green, "✓")));
    }

    /// Warns of a tenant that nobody can act for.
    pub(crate) fn warn_without_keys(&self, tenant: &TenantRecord, now: Timestamp) {
        if live_keys(tenant, now) == 0 {
            self.terminal.warning(format_args!(
                "{name} has no live key, so none of its requests comes in; `cargo chat key create {id}` makes one",
                name = tenant.access.name,
                id = tenant.tenant_id,
            ));
        }
    }

    /// Shows a new key to people, the one time that it can be shown. Programs find it in the object on stdout, and what
    /// goes to stderr beside that often ends in a log.
    pub(crate) fn reveal(&self, key: &str) {
        if self.terminal.is_for_programs() {
            return;
        }
        let key = self.terminal.paint(Colour::Bold, key);
        let note = self.terminal.paint(
            Colour::Yellow,
            "This key is shown once, now: only its hash is stored. Keep it where you keep secrets.",
        );
        self.terminal.line(format_args!("\n  {key}\n\n  {note}\n"));
    }
}
