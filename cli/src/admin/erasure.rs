//! Erases the data of a tenant, or of one of its users.
//!
//! Each step can be interrupted and repeated, and the items by which the rest is found are deleted last: a command that
//! was killed finishes when it is run again. Passes repeat until one finds nothing, because the indexes lag behind the
//! tables.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared::{
    domain::{
        connection::Connection,
        day::Day,
        error::ApiError,
        id::{ChatId, MessageId, TenantId, UserId},
        tenant::TenantRecord,
        time::Timestamp,
    },
    storage::{IndexCursor, PendingWork, StorageError, TenantItem, TenantItemKind},
    websocket::Publisher,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{failure::PartialFailure, session::AdminSession};
use crate::terminal::SlowStep;

/// How long a request that was authorized before the suspension may still write: the functions' deadline for a response,
/// and a margin.
const IN_FLIGHT_REQUESTS: Duration = Duration::from_secs(12);

/// How far the indexes usually lag behind the tables.
const INDEX_LAG: Duration = Duration::from_secs(1);

/// How often a user is erased again, since a request may create a chat meanwhile.
const MAX_USER_ROUNDS: u32 = 20;

/// How many chats are purged concurrently.
const CONCURRENCY: usize = 8;

/// What was erased.
#[derive(Debug, Default)]
struct Erased {
    chats: u64,
    /// By id, because an index may list an erased user again.
    users: BTreeSet<UserId>,
}

impl AdminSession {
    /// Erases a suspended tenant without open sockets: its data, then the tenant itself.
    pub(super) async fn erase_tenant(&self, tenant: &TenantRecord, mut event: Value) -> Result<()> {
        let mut step = SlowStep::new(&self.terminal, "Erasing");
        let mut erased = Erased::default();
        let result = self.erase_all(&tenant.tenant_id, &mut erased, &mut step).await;
        let (chats, users) = (erased.chats, erased.users.len());
        event["erased"] = result.is_ok().into();
        event["chats"] = chats.into();
        event["users"] = users.into();
        if let Err(error) = result {
            return Err(PartialFailure { done: event, error: error.into() }.into());
        }
        step.done(format_args!("Erased {}: {chats} chats of {users} users, and its keys", tenant.access.name));
        self.terminal.event(&event);
        Ok(())
    }

    /// Erases the items of a tenant until a pass finds none, then the tenant.
    async fn erase_all(&self, id: &TenantId, erased: &mut Erased, step: &mut SlowStep) -> Result<(), StorageError> {
        let quiet_at = Instant::now() + IN_FLIGHT_REQUESTS;
        loop {
            let is_quiet = Instant::now() >= quiet_at;
            if self.erase_owned(id, is_quiet, erased, step).await? > 0 {
                sleep(INDEX_LAG).await;
            } else if is_quiet {
                break;
            } else {
                sleep_until(quiet_at).await;
            }
        }
        for socket in self.connections.list_by_tenant(id).await? {
            self.connections.delete(&socket).await?;
        }
        self.connections.slots().delete(id).await?;
        self.budgets.delete(id).await?;
        self.usage.delete(id).await?;
        self.tenants.delete(id).await
    }

    /// One pass over the items of a tenant, chats first. Returns how many it found.
    async fn erase_owned(
        &self,
        tenant: &TenantId,
        is_quiet: bool,
        erased: &mut Erased,
        step: &mut SlowStep,
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
                        let deleted = if is_quiet {
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
            step.progress(format!("{} chats, {} users", erased.chats, erased.users.len()));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Deletes and purges chats, and counts those that existed. The next pass finds a chat whose deletion was contended.
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
        let mut erasing = erasing.buffer_unordered(CONCURRENCY);
        while let Some(existed) = erasing.try_next().await? {
            erased.chats += u64::from(existed);
        }
        Ok(())
    }

    /// Deletes and purges a chat. Returns whether it existed.
    async fn erase_chat(&self, tenant: &TenantId, chat: &ChatId) -> Result<bool, StorageError> {
        if matches!(self.chats.pending_work(tenant, chat).await?, PendingWork::None) {
            return Ok(false);
        }
        self.chats.delete(tenant, chat, Timestamp::now()).await?;
        self.chats.purge(tenant, chat).await?;
        Ok(true)
    }

    /// Erases a user: chats, idempotency records, sockets, then the user itself.
    pub(super) async fn erase_user(&self, tenant: &TenantRecord, user: &UserId) -> Result<()> {
        let id = &tenant.tenant_id;
        let mut step = SlowStep::new(&self.terminal, "Erasing");
        let mut erased = Erased::default();
        let result = self.erase_whole_user(id, user, &mut erased, &mut step).await;
        let chats = erased.chats;
        let event = json!({"tenant_id": id, "user_id": user, "erased": result.is_ok(), "chats": chats});
        if let Err(error) = result {
            return Err(PartialFailure { done: event, error }.into());
        }
        step.done(format_args!("Erased {user} of {}: {chats} chats", tenant.access.name));
        self.terminal.event(&event);
        Ok(())
    }

    /// Erases the items of a user until a pass finds none, then the user.
    async fn erase_whole_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        erased: &mut Erased,
        step: &mut SlowStep,
    ) -> Result<()> {
        for _ in 0..MAX_USER_ROUNDS {
            let found = self.erase_user_items(tenant, user, erased, step).await?;
            let left = self.close_user_sockets(tenant, user).await?;
            if left > 0 {
                bail!("{left} sockets of {user} are or may still be open: run this again");
            }
            if found == 0 && self.users.delete_without_chats(tenant, user).await? {
                self.usage.delete_user(tenant, user, Day::of(Timestamp::now())).await?;
                return Ok(());
            }
            sleep(INDEX_LAG).await;
        }
        bail!("new chats of {user} appear continuously: stop the client that creates them, then run this again")
    }

    /// One pass over the items of a user. Returns how many it found.
    async fn erase_user_items(
        &self,
        tenant: &TenantId,
        user: &UserId,
        erased: &mut Erased,
        step: &mut SlowStep,
    ) -> Result<usize> {
        let mut found = 0;
        let mut after: Option<IndexCursor> = None;
        loop {
            let page = self.chats.list_ids(tenant, user, after).await?;
            found += page.ids.len();
            self.erase_chats(tenant, page.ids, erased).await?;
            step.progress(format!("{} chats", erased.chats));
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

    /// Closes and removes the sockets of a user whose chats are erased. Returns how many may still be open.
    async fn close_user_sockets(&self, tenant: &TenantId, user: &UserId) -> Result<usize> {
        let connections = self.connections.list_by_tenant(tenant).await?;
        let sockets: Vec<Connection> = connections.into_iter().filter(|socket| socket.grant.user_id == *user).collect();
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
