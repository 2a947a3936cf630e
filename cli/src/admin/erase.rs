//! Erasing what is stored of a tenant, or of one of its users.
//!
//! Each step is one that may break off and be made again, and what the rest is found by goes last: a command that was killed
//! is run again, and finishes. It is looked once more until nothing is found, since what the indexes list follows the
//! tables a moment later.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::domain::connection::Connection;
use shared::domain::error::ApiError;
use shared::domain::id::{ChatId, MessageId, TenantId, UserId};
use shared::domain::tenant::TenantRecord;
use shared::domain::time::Timestamp;
use shared::storage::{IndexCursor, PendingWork, StorageError, TenantItem, TenantItemKind};
use shared::websocket::Publisher;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Admin, HalfDone};
use crate::terminal::Progress;

/// How long a function may still write that was let in before its tenant was suspended: as long as it may run until its
/// answer, and a little more.
const LAST_WORDS: Duration = Duration::from_secs(12);

/// How long the indexes may follow the tables later, as a rule.
const INDEXES: Duration = Duration::from_secs(1);

/// How often it is looked for more of a user, for whom new chats may be made meanwhile.
const LOOKS: u32 = 20;

/// How many chats are purged at once.
const AT_ONCE: usize = 8;

/// Whether it is really wanted.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Consent {
    /// Do not ask whether it is really wanted
    #[arg(long)]
    yes: bool,
}

/// What was erased.
#[derive(Debug, Default)]
struct Erased {
    chats: u64,
    /// An index may list one once more that is gone.
    users: BTreeSet<UserId>,
}

impl Consent {
    /// Has the name typed of what is to be erased, unless the flag says that it is wanted.
    ///
    /// # Errors
    ///
    /// When it is not, or there is nobody to ask.
    pub(crate) fn ask(self, admin: &Admin, what: &str, name: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if admin.terminal.is_for_programs() || !std::io::stdin().is_terminal() {
            bail!("this erases {what}, and nothing brings it back; grant --yes if that is wanted");
        }
        admin.terminal.warning(format_args!("This erases {what}, and nothing brings it back."));
        if admin.terminal.ask(&format!("Type {name} to go on: "))? != name {
            bail!("nothing was erased, since that is not {name}");
        }
        Ok(())
    }
}

impl Admin {
    /// Erases all of a suspended tenant that has no open socket, and last the tenant itself.
    pub(crate) async fn erase_tenant(&self, tenant: &TenantRecord, mut event: Value) -> Result<()> {
        let mut progress = Progress::new(&self.terminal, "Erasing");
        let mut erased = Erased::default();
        let done = self.erase_all(&tenant.tenant_id, &mut erased, &mut progress).await;
        let (chats, users) = (erased.chats, erased.users.len());
        event["erased"] = done.is_ok().into();
        event["chats"] = chats.into();
        event["users"] = users.into();
        if let Err(error) = done {
            return Err(HalfDone { event, error: error.into() }.into());
        }
        progress.done(format_args!("Erased {}: {chats} chats of {users} users, and its keys", tenant.access.name));
        self.terminal.event(&event);
        Ok(())
    }

    /// Erases what a tenant has until there is no more, and then the tenant.
    async fn erase_all(&self, id: &TenantId, erased: &mut Erased, progress: &mut Progress) -> Result<(), StorageError> {
        let settled = Instant::now() + LAST_WORDS;
        loop {
            let is_settled = Instant::now() >= settled;
            if self.erase_owned(id, is_settled, erased, progress).await? > 0 {
                sleep(INDEXES).await;
            } else if is_settled {
                break;
            } else {
                sleep_until(settled).await;
            }
        }
        for socket in self.connections.list_by_tenant(id).await? {
            self.connections.delete(&socket).await?;
        }
        self.connections.slots().delete(id).await?;
        self.tenants.delete(id).await
    }

    /// Looks once for what a tenant has, chats first, and erases it. Returns how much was found.
    async fn erase_owned(
        &self,
        tenant: &TenantId,
        is_settled: bool,
        erased: &mut Erased,
        progress: &mut Progress,
    ) -> Result<usize, StorageError> {
        let mut found = 0;
        let mut after = None;
        loop {
            let page = self.tenant_index.list(tenant, &TenantItemKind::All, after).await?;
            found += page.items.len();
            let (mut chats, mut others) = (Vec::new(), Vec::new());
            for item in page.items {
                match item {
                    TenantItem::Chat(chat) => chats.push(chat),
                    other => others.push(other),
                }
            }
            self.erase_chats(tenant, chats, erased).await?;
            for other in others {
                match other {
                    TenantItem::User(user) => {
                        let deleted = if is_settled {
                            self.users.delete(tenant, &user).await.map(|()| true)?
                        } else {
                            self.users.delete_without_chats(tenant, &user).await?
                        };
                        if deleted {
                            erased.users.insert(user);
                        }
                    }
                    TenantItem::IdempotencyRecord(record) => self.idempotency.delete(record).await?,
                    TenantItem::Chat(_) => {}
                }
            }
            progress.tell(format!("{} chats, {} users", erased.chats, erased.users.len()));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Deletes chats and purges them. Counts those that were there still; one that others were faster at is found again.
    async fn erase_chats(
        &self,
        tenant: &TenantId,
        chats: Vec<ChatId>,
        erased: &mut Erased,
    ) -> Result<(), StorageError> {
        let erasing = stream::iter(chats).map(async |chat| match self.erase_chat(tenant, &chat).await {
            Err(StorageError::Contended { .. }) => Ok(false),
            erased => erased,
        });
        let mut erasing = erasing.buffer_unordered(AT_ONCE);
        while let Some(was_there) = erasing.try_next().await? {
            erased.chats += u64::from(was_there);
        }
        Ok(())
    }

    /// Deletes a chat and purges it. False when nothing of it is there any more.
    async fn erase_chat(&self, tenant: &TenantId, chat: &ChatId) -> Result<bool, StorageError> {
        if matches!(self.chats.pending_work(tenant, chat).await?, PendingWork::None) {
            return Ok(false);
        }
        self.chats.delete(tenant, chat, Timestamp::now()).await?;
        self.chats.purge(tenant, chat).await?;
        Ok(true)
    }

    /// Erases all of a user: chats, records of requests, sockets, and last the user.
    pub(crate) async fn erase_user(&self, tenant: &TenantRecord, user: &UserId) -> Result<()> {
        let id = &tenant.tenant_id;
        let mut progress = Progress::new(&self.terminal, "Erasing");
        let mut erased = Erased::default();
        let done = self.erase_all_of_user(id, user, &mut erased, &mut progress).await;
        let chats = erased.chats;
        let event = json!({"tenant_id": id, "user_id": user, "erased": done.is_ok(), "chats": chats});
        if let Err(error) = done {
            return Err(HalfDone { event, error }.into());
        }
        progress.done(format_args!("Erased {user} of {}: {chats} chats", tenant.access.name));
        self.terminal.event(&event);
        Ok(())
    }

    /// Erases what there is of a user until there is no more, and then the user.
    async fn erase_all_of_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        erased: &mut Erased,
        progress: &mut Progress,
    ) -> Result<()> {
        for _ in 0..LOOKS {
            let found = self.erase_of_user(tenant, user, erased, progress).await?;
            let left = self.close_sockets_of(tenant, user).await?;
            if left > 0 {
                bail!("{left} sockets of {user} are open still, or may be; run this again");
            }
            if found == 0 && self.users.delete_without_chats(tenant, user).await? {
                return Ok(());
            }
            sleep(INDEXES).await;
        }
        bail!("chats of {user} are being made all the time; stop whoever makes them, then run this again")
    }

    /// Looks once for what there is of a user, and erases it. Returns how much was found.
    async fn erase_of_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        erased: &mut Erased,
        progress: &mut Progress,
    ) -> Result<usize> {
        let mut found = 0;
        let mut after: Option<IndexCursor> = None;
        loop {
            let page = self.chats.list_ids(tenant, user, after).await?;
            found += page.ids.len();
            self.erase_chats(tenant, page.ids, erased).await?;
            progress.tell(format!("{} chats", erased.chats));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for kind in [TenantItemKind::DeletedChats(user), TenantItemKind::IdempotencyRecords(user)] {
            let mut after = None;
            loop {
                let page = self.tenant_index.list(tenant, &kind, after).await?;
                found += page.items.len();
                for item in page.items {
                    match item {
                        TenantItem::Chat(chat) => self.chats.purge(tenant, &chat).await?,
                        TenantItem::IdempotencyRecord(record) => self.idempotency.delete(record).await?,
                        TenantItem::User(_) => {}
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Closes and forgets the sockets of a user, whose chats are gone. Returns how many may be open still.
    async fn close_sockets_of(&self, tenant: &TenantId, user: &UserId) -> Result<usize> {
        let noted = self.connections.list_by_tenant(tenant).await?;
        let sockets: Vec<Connection> = noted.into_iter().filter(|socket| socket.grant.user_id == *user).collect();
        let publisher = Publisher::new(self.management.clone());
        let request_id = MessageId::generate().as_str().replacen("msg_", "chat-cli-", 1);
        let mut left = 0;
        for socket in &sockets {
            let reason = ApiError::chat_not_found(socket.grant.chat_id.as_str());
            publisher.close_all(std::slice::from_ref(socket), &reason, &request_id).await;
            if socket.expires_at <= Timestamp::now() || publisher.is_gone(&socket.connection_id).await {
                self.connections.end(socket).await?;
            } else {
                left += 1;
            }
        }
        Ok(left)
    }
}
