//! Exports the data of a user as one JSON document, which is written while the tables are read.

use std::{
    collections::HashSet,
    fs,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use shared::domain::{
    id::{ChatId, TenantId, UserId},
    pagination::{Order, PageRequest},
    tenant::TenantRecord,
    time::Timestamp,
};

use super::session::AdminSession;
use crate::{file::remove_if_present, terminal::SlowStep};

/// How many messages are read in one page.
const PAGE_SIZE: u32 = 200;

/// What was exported.
#[derive(Debug, Default)]
struct Exported {
    chats: u64,
    messages: u64,
}

impl AdminSession {
    /// Writes all chats of a user with their messages, to a file or to stdout.
    pub(super) async fn export_user(&self, tenant: &TenantRecord, user: &UserId, file: Option<&Path>) -> Result<()> {
        let mut step = SlowStep::new(&self.terminal, "Exporting");
        let Some(file) = file else {
            let exported = self.write_user(tenant, user, self.terminal.stdout(), &mut step).await;
            let Exported { chats, messages } = exported.context("the document on stdout is incomplete")?;
            step.done(format_args!("Exported {chats} chats with {messages} messages of {user}"));
            return Ok(());
        };
        // Written under another name and renamed: the file is complete or absent.
        let part = partial(file);
        let failed = || format!("failed to write {}", part.display());
        let target = create_private(&part).with_context(failed)?;
        let exported = match self.write_user(tenant, user, target, &mut step).await {
            Ok(exported) => fs::rename(&part, file).with_context(failed).map(|()| exported),
            Err(error) => Err(error),
        };
        let Exported { chats, messages } = exported.inspect_err(|_| {
            // An incomplete copy of personal data must not stay behind.
            let _ = fs::remove_file(&part);
        })?;
        step.done(format_args!("Exported {chats} chats with {messages} messages of {user} to {}", file.display()));
        self.terminal.event(&json!({
            "tenant_id": tenant.tenant_id, "user_id": user, "chats": chats, "messages": messages, "file": file,
        }));
        Ok(())
    }

    async fn write_user(
        &self,
        tenant: &TenantRecord,
        user: &UserId,
        to: impl Write,
        step: &mut SlowStep,
    ) -> Result<Exported> {
        let (id, mut to, mut exported) = (&tenant.tenant_id, BufWriter::new(to), Exported::default());
        let known = self.users.get(id, user).await?.unwrap_or_default();
        let about = json!({
            "tenant_id": id,
            "user_id": user,
            "first_connected_at": known.first_connected_at,
            "exported_at": Timestamp::now(),
        });
        open_list(&mut to, &about, "chats")?;
        // A chat that gets a message meanwhile moves to the end of the index and appears twice.
        let mut written = HashSet::new();
        let mut after = None;
        loop {
            let page = self.chats.list_ids(id, user, after).await?;
            for chat in page.ids {
                if written.insert(chat.clone()) {
                    self.write_chat(id, &chat, &mut to, &mut exported, step).await?;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        writeln!(to, "\n]}}")?;
        to.flush()?;
        Ok(exported)
    }

    /// Writes a chat with its messages, unless it was deleted meanwhile.
    async fn write_chat(
        &self,
        tenant: &TenantId,
        chat_id: &ChatId,
        to: &mut impl Write,
        exported: &mut Exported,
        step: &mut SlowStep,
    ) -> Result<()> {
        let Some(chat) = self.chats.get(tenant, chat_id).await? else { return Ok(()) };
        writeln!(to, "{}", if exported.chats == 0 { "" } else { "," })?;
        exported.chats += 1;
        open_list(to, &serde_json::to_value(chat)?, "messages")?;
        let mut offset = 0;
        loop {
            let page = PageRequest { offset, limit: PAGE_SIZE, order: Order::Asc };
            let read = self.messages.list(tenant, chat_id, page, Timestamp::now()).await?;
            let Some((messages, _)) = read.filter(|(messages, _)| !messages.is_empty()) else { break };
            for message in &messages {
                writeln!(to, "{}", if offset == 0 { "" } else { "," })?;
                serde_json::to_writer(&mut *to, message)?;
                offset += 1;
            }
            exported.messages += messages.len() as u64;
            step.progress(format!("{} chats, {} messages", exported.chats, exported.messages));
        }
        write!(to, "\n]}}")?;
        Ok(())
    }
}

/// Writes an object without its end, and starts a list as its last field.
fn open_list(to: &mut impl Write, object: &impl Serialize, list: &str) -> Result<()> {
    let text = serde_json::to_string(object)?;
    let open = text.strip_suffix('}').context("the value is not an object")?;
    write!(to, "{open},{}:[", Value::from(list))?;
    Ok(())
}

fn partial(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Creates a file that only its owner may read. Removes an existing one, which may have other permissions or be a link.
fn create_private(path: &Path) -> io::Result<fs::File> {
    remove_if_present(path)?;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
