//! Handing out what is stored of a user, as one JSON document that is written while it is read.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use shared::domain::id::{ChatId, TenantId, UserId};
use shared::domain::pagination::{Order, PageRequest};
use shared::domain::tenant::TenantRecord;
use shared::domain::time::Timestamp;

use super::Admin;
use crate::file;
use crate::terminal::Progress;

/// How many messages are read at once.
const PAGE: u32 = 200;

/// What was handed out.
#[derive(Debug, Default)]
struct Exported {
    chats: u64,
    messages: u64,
}

impl Admin {
    /// Writes all chats of a user with their messages, into a file or to stdout.
    pub(crate) async fn export_user(&self, tenant: &TenantRecord, user: &UserId, file: Option<&Path>) -> Result<()> {
        let mut progress = Progress::new(&self.terminal, "Reading");
        let Some(file) = file else {
            let exported = self.write_user(tenant, user, self.terminal.stdout(), &mut progress).await;
            let Exported { chats, messages } = exported.context("the document on stdout is not whole")?;
            progress.done(format_args!("Exported {chats} chats with {messages} messages of {user}"));
            return Ok(());
        };
        // Under its own name there is nothing, or all of it.
        let part = partial(file);
        let failed = || format!("failed to write {}", part.display());
        let written = create(&part).with_context(failed)?;
        let exported = match self.write_user(tenant, user, written, &mut progress).await {
            Ok(exported) => std::fs::rename(&part, file).with_context(failed).map(|()| exported),
            Err(error) => Err(error),
        };
        let Exported { chats, messages } = exported.inspect_err(|_| {
            // What is half written is of no use, and not to lie about.
            let _ = std::fs::remove_file(&part);
        })?;
        progress.done(format_args!("Exported {chats} chats with {messages} messages of {user} to {}", file.display()));
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
        progress: &mut Progress,
    ) -> Result<Exported> {
        let (id, mut to, mut exported) = (&tenant.tenant_id, BufWriter::new(to), Exported::default());
        let known = self.users.get(id, user).await?.unwrap_or_default();
        let about = json!({
            "tenant_id": id,
            "user_id": user,
            "first_connected_at": known.first_connected_at,
            "exported_at": Timestamp::now(),
        });
        open(&mut to, &about, "chats")?;
        // A chat that somebody writes in moves behind the others, where it is met again.
        let mut met = HashSet::new();
        let mut after = None;
        loop {
            let page = self.chats.list_ids(id, user, after).await?;
            for chat in page.ids {
                if met.insert(chat.clone()) {
                    self.write_chat(id, &chat, &mut to, &mut exported, progress).await?;
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

    /// Writes a chat, unless it was deleted meanwhile.
    async fn write_chat(
        &self,
        tenant: &TenantId,
        chat_id: &ChatId,
        to: &mut impl Write,
        exported: &mut Exported,
        progress: &mut Progress,
    ) -> Result<()> {
        let Some(chat) = self.chats.get(tenant, chat_id).await? else { return Ok(()) };
        writeln!(to, "{}", if exported.chats == 0 { "" } else { "," })?;
        exported.chats += 1;
        open(to, &serde_json::to_value(chat)?, "messages")?;
        let mut offset = 0;
        loop {
            let page = PageRequest { offset, limit: PAGE, order: Order::Asc };
            let read = self.messages.list(tenant, chat_id, page, Timestamp::now()).await?;
            let Some((messages, _)) = read.filter(|(messages, _)| !messages.is_empty()) else { break };
            for message in &messages {
                writeln!(to, "{}", if offset == 0 { "" } else { "," })?;
                serde_json::to_writer(&mut *to, message)?;
                offset += 1;
            }
            exported.messages += messages.len() as u64;
            progress.tell(format!("{} chats, {} messages", exported.chats, exported.messages));
        }
        write!(to, "\n]}}")?;
        Ok(())
    }
}

/// Writes an object up to the beginning of its last field, which is a list.
fn open(to: &mut impl Write, object: &impl Serialize, list: &str) -> Result<()> {
    let text = serde_json::to_string(object)?;
    let open = text.strip_suffix('}').context("it is an object")?;
    write!(to, "{open},{}:[", Value::from(list))?;
    Ok(())
}

fn partial(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Makes a file that nobody else on this machine may read. What has its name goes: others may be allowed to read that, or
/// it may lead elsewhere.
fn create(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    file::remove(path)?;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
